"""Labelled messages for evaluation: JSON Lines of messages with `labels`, `evidence` and `tags`."""

from collections.abc import Iterator
from dataclasses import dataclass

from detectors.domain import Message, Speaker
from streams import wire
from streams.codec import decode_message
from streams.codec_fault import parse_record
from streams.errors import InvalidMessage
from streams.readers.base import BadRecord, bad_record
from streams.readers.jsonl import record_lines
from streams.readers.lines import Source, bounded_lines, open_source

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """
    A message with what people say of it.

    No labels: it crosses no line. `evidence` are spans in code points, None where
    nobody marked any. `tags` group messages for the report.
    """

    message: Message
    labels: frozenset[str]
    evidence: Spans | None
    tags: tuple[str, ...]


def read_labelled(path: Source) -> Iterator[Labelled | BadRecord]:
    """
    The labelled messages of a file, or of standard input for `-`, as they are asked for.

    `labels` is required, `[]` for none; a customer's message may go without, since it
    cannot carry any, and is refused with some. An item of `evidence` is `[start, end]`, an object with `start`
    and `end` (and `text`, which then must agree), or the words themselves.
    Raises `UnreadableSource`.
    """
    with open_source(path):
        pass
    return _read(path)


def _read(path: Source) -> Iterator[Labelled | BadRecord]:
    with open_source(path) as stream:
        for line in record_lines(bounded_lines(stream, str(path))):
            if isinstance(line, BadRecord):
                yield line
                continue
            try:
                yield _labelled(parse_record(line.data))
            except InvalidMessage as error:
                yield bad_record(line.number, error, line.data)


def _labelled(record: dict[str, object]) -> Labelled:
    labels, evidence, tags = (record.pop(key, None) for key in ("labels", "evidence", "tags"))
    message = decode_message(record)
    if labels is None and message.speaker is not Speaker.CUSTOMER:
        raise InvalidMessage(
            "missing_field", "required: write [] for a message without labels", field="labels"
        )
    if labels and message.speaker is Speaker.CUSTOMER:
        raise InvalidMessage(
            "bad_value", "a customer's message carries none: check the speaker", field="labels"
        )
    spans = None if evidence is None else _spans(wire.sequence(evidence, "evidence"), message.text)
    return Labelled(message, frozenset(_names(labels, "labels")), spans, _names(tags, "tags"))


def _names(value: object, field: str) -> tuple[str, ...]:
    items = [] if value is None else wire.sequence(value, field)
    return tuple(wire.identifier(item, f"{field}[{i}]") for i, item in enumerate(items))


def _spans(items: list[object], text: str) -> Spans:
    return tuple(_span(item, text, f"evidence[{i}]") for i, item in enumerate(items))


def _span(item: object, text: str, at: str) -> tuple[int, int]:
    quote: str | None = None
    if isinstance(item, list) and len(item) == 2:
        start, end = (wire.integer(bound, at) for bound in item)
    elif isinstance(item, dict) and ("start" in item or "end" in item):
        start = wire.integer(item.get("start"), f"{at}.start")
        end = wire.integer(item.get("end"), f"{at}.end")
        quote = wire.optional_string(item.get("text"), f"{at}.text")
    else:
        words = item.get("text") if isinstance(item, dict) else item
        if not isinstance(words, str):
            raise InvalidMessage("wrong_type", "expected [start, end], start and end, or the words", field=at)
        start = text.find(words) if words else -1
        if start < 0:
            raise InvalidMessage("bad_evidence", "these words do not occur in the text", field=at)
        return start, start + len(words)
    if not start < end <= len(text):
        detail = f"{start}–{end} is no span of a text of {len(text)} code points (end is exclusive)"
        raise InvalidMessage("bad_evidence", detail, field=at)
    if quote is not None and text[start:end] != quote:
        detail = f"the text at {start}–{end} differs from 'text': count code points, not bytes or UTF-16"
        raise InvalidMessage("bad_evidence", detail, field=at)
    return start, end
