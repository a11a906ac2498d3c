"""What every reader gives: messages, and bad records that say what to mend."""

from dataclasses import dataclass
from typing import NamedTuple

from detectors.domain import Message
from streams.errors import InvalidMessage

RAW_EXCERPT_CHARS = 500


@dataclass(frozen=True, slots=True)
class BadRecord:
    """
    A record that gave no message. It was not judged, so it is never clean.

    `line` is where it starts, from 1. `reason` is a stable code for counting,
    `detail` tells the producer what to mend. `raw` is the record's beginning
    (customers' words may be in it: not for logs).
    """

    line: int
    reason: str
    detail: str
    field: str | None
    raw: str

    def __str__(self) -> str:
        return str(InvalidMessage(self.reason, self.detail, field=self.field, line=self.line))


class Numbered(NamedTuple):
    """What a record gave, and the line it starts on, from 1."""

    line: int
    content: Message | BadRecord


def bad_record(line: int, error: InvalidMessage, raw: bytes | str) -> BadRecord:
    """The bad record for what decoding said of one record."""
    return BadRecord(line, error.reason, error.detail, error.field, excerpt(raw))


def excerpt(raw: bytes | str) -> str:
    """The beginning of a record, always valid text."""
    if isinstance(raw, bytes):
        return raw[: 4 * RAW_EXCERPT_CHARS].decode(errors="replace")[:RAW_EXCERPT_CHARS]
    return raw[:RAW_EXCERPT_CHARS].encode(errors="replace").decode()
