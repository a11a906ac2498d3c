"""JSON Lines: message records as published, or any JSON records by a mapping."""

from collections.abc import Iterator

from streams.codec import decode_message
from streams.codec_fault import field_under_way, parse_record
from streams.errors import InvalidMessage
from streams.readers.base import BadRecord, Numbered, bad_record
from streams.readers.lines import Line, blank_line, decoded, empty_source, too_long
from streams.readers.mapped import map_record
from streams.readers.mapping import FieldMapping


def read_jsonl(lines: Iterator[Line], mapping: FieldMapping | None, encoding: str) -> Iterator[Numbered]:
    """One message or bad record for each record line, in order."""
    for line in record_lines(lines):
        if isinstance(line, BadRecord):
            yield Numbered(line.line, line)
            continue
        try:
            raw = line.data if encoding == "utf-8" else decoded(line, encoding, field_under_way)
            message = decode_message(raw) if mapping is None else map_record(parse_record(raw), mapping)
            yield Numbered(line.number, message)
        except InvalidMessage as error:
            yield Numbered(line.number, bad_record(line.number, error, line.data))


def record_lines(lines: Iterator[Line]) -> Iterator[Line | BadRecord]:
    """The lines that hold records. Blank lines between them are told, those at the end are not."""
    read = blanks = 0
    for line in lines:
        if line.blank and not line.cut:
            blanks += 1
            continue
        yield from (blank_line(number) for number in range(line.number - blanks, line.number))
        blanks = 0
        read += 1
        yield too_long(line, field_under_way(line.data.decode(errors="replace"))) if line.cut else line
    if not read:
        what = "the file is empty" if not blanks else "the file has only blank lines"
        yield empty_source(f"{what}: expected one record per line")
