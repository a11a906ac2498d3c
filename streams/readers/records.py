"""The one way in for files: what kind it is, and its messages and bad records in order."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import cast, get_args

from detectors.domain import Message
from streams.errors import InvalidMessage
from streams.readers.base import BadRecord, Numbered
from streams.readers.csv_file import read_csv
from streams.readers.errors import MappingError, UnreadableSource
from streams.readers.jsonl import read_jsonl
from streams.readers.lines import Line, Source, bounded_lines, open_source
from streams.readers.mapping import FieldMapping, Kind, bundled_mapping, checked_encoding, load_mapping
from streams.wire import parse_object

LINES_TO_GUESS_FROM = 20
BYTES_TO_GUESS_FROM = 4096

_JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_records(
    path: Source, *, kind: str | None = None, mapping: Path | None = None, encoding: str | None = None
) -> Iterator[Message | BadRecord]:
    """
    The messages of a file, or of standard input for `-`, as they are asked for.

    `kind` is jsonl, csv or wecom; without it the mapping, the suffix or the first
    line decides. `mapping` replaces the shipped mapping, `encoding` that of the
    mapping. Each record gives a message or a `BadRecord`. Memory stays constant.

    Raises `UnreadableSource` (at the call where it can, else on the first record)
    when nothing could be read, `MappingError` for a wrong mapping.
    """
    numbered = numbered_records(path, kind=kind, mapping=mapping, encoding=encoding)
    return (record.content for record in numbered)


def numbered_records(
    path: Source, *, kind: str | None = None, mapping: Path | None = None, encoding: str | None = None
) -> Iterator[Numbered]:
    """`read_records`, each with the line it starts on."""
    plan = None if mapping is None else load_mapping(mapping)
    if kind is not None and kind not in get_args(Kind):
        raise UnreadableSource(str(path), f"unknown kind {kind!r}: choose {', '.join(get_args(Kind))}")
    if plan is not None and kind is not None and plan.kind != kind:
        raise MappingError(str(mapping), f"is a mapping for {plan.kind}, not for {kind}")
    if encoding is not None:
        try:
            checked_encoding(encoding)
        except ValueError as error:
            raise UnreadableSource(str(path), str(error)) from None
    _refuse_unopenable(path)
    return _read(path, cast(Kind | None, kind), plan, encoding)


def _read(
    path: Source, kind: Kind | None, plan: FieldMapping | None, encoding: str | None
) -> Iterator[Numbered]:
    with open_source(path) as stream:
        lines = bounded_lines(stream, str(path))
        if kind is None and plan is not None:
            kind = plan.kind
        if kind is None:
            head = _head(lines)
            lines = chain(head, lines)
            kind = _guess(path, head)
        if plan is None and kind != "jsonl":
            plan = bundled_mapping(kind)
            if kind == "csv" and path != "-" and path.suffix.lower() in _DELIMITERS:
                plan = plan.model_copy(update={"delimiter": _DELIMITERS[path.suffix.lower()]})
        if plan is not None and encoding is not None:
            plan = plan.model_copy(update={"encoding": encoding})
        if kind == "csv":
            assert plan is not None
            yield from read_csv(lines, plan, str(path))
        else:
            yield from read_jsonl(lines, plan, plan.encoding if plan else encoding or "utf-8")


def _refuse_unopenable(path: Source) -> None:
    if path != "-":
        with open_source(path):
            pass


def _head(lines: Iterator[Line]) -> list[Line]:
    """The first lines up to one that is not blank."""
    head: list[Line] = []
    for line in islice(lines, LINES_TO_GUESS_FROM):
        head.append(line)
        if not line.blank:
            break
    return head


def _guess(path: Source, head: list[Line]) -> Kind:
    suffix = "" if path == "-" else path.suffix.lower()
    if suffix in _DELIMITERS:
        return "csv"
    first = head[-1].data if head else b""
    if head and head[-1].cut:
        first = first[:BYTES_TO_GUESS_FROM]  # no record anyway: its beginning will do
    try:
        record = parse_object(first)
    except InvalidMessage:
        if suffix in _JSON_SUFFIXES or first.lstrip()[:1] in (b"{", b"["):
            return "jsonl"
        return "csv" if _looks_like_header(first) else "jsonl"
    archive = "msgid" in record and not record.keys() & {"message_id", "conversation_id"}
    return "wecom" if archive else "jsonl"


def _looks_like_header(first: bytes) -> bool:
    columns = {cell.strip().strip('"') for cell in first.decode(errors="replace").split(",")}
    known = {name for names in bundled_mapping("csv").fields.values() for name in names}
    return len(columns & known) >= 2
