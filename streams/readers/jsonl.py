"""JSON Lines: message records as published, or any JSON records by a mapping."""

from collections.abc import Iterator

from detectors.domain import Message
from streams.codec import decode_message
from streams.errors import InvalidMessage
from streams.readers.base import BadRecord, bad_record
from streams.readers.lines import Line, blank_line, decoded, empty_source, too_long
from streams.readers.mapped import map_record
from streams.readers.mapping import FieldMapping
from streams.wire import parse_object


def read_jsonl(
    lines: Iterator[Line], mapping: FieldMapping | None, encoding: str
) -> Iterator[Message | BadRecord]:
    """One message or bad record for each record line, in order."""
    for line in record_lines(lines):
        if isinstance(line, BadRecord):
            yield line
            continue
        try:
            raw = line.data if encoding == "utf-8" else decoded(line, encoding)
            if mapping is None:
                yield decode_message(raw)
            else:
                yield map_record(parse_object(raw), mapping)
        except InvalidMessage as error:
            yield bad_record(line.number, error, line.data)


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
        yield too_long(line) if line.cut else line
    if not read:
        what = "the file is empty" if not blanks else "the file has only blank lines"
        yield empty_source(f"{what}: expected one record per line")
