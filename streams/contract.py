"""
Does a producer in any language keep the contract? Checks sample records, one by one and together.

Errors are what the worker would dead-letter. Warnings are records that are judged, but perhaps not as
their producer meant: an id that changed its words without saying so, an order that nobody can tell.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Literal

from detectors.domain import Message
from streams.admission import refuse_future, refuse_misplaced
from streams.codec import decode_message
from streams.errors import InvalidMessage
from streams.identity import content_hash, event_of
from streams.readers.base import BadRecord
from streams.topic_reader import TopicRecord

CLOCK_AHEAD = timedelta(minutes=10)
FIELDS = (
    "message_id",
    "conversation_id",
    "sent_at",
    "speaker",
    "text",
    "seq",
    "channel",
    "advisor_id",
    "customer_id",
    "branch",
    "product",
    "language",
    "event",
)
SIMILAR = 0.8

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to mend or to look at. `code` is stable, `where` a line or a record's place."""

    level: Level
    where: str
    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.detail} [{self.code}]"


class ContractCheck:
    """
    Looks at records in the order in which they are sent; keeps 100 bytes or so for each.

    `clock` gives the time against which `sent_at` is held.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._contents: dict[tuple[str, str], str] = {}
        self._moments: dict[tuple[str, datetime], int | None] = {}
        self.records = 0

    def file(self, records: Iterable[Message | BadRecord]) -> Iterator[Remark]:
        """Remarks on the records of a file."""
        for number, record in enumerate(records, start=1):
            self.records += 1
            if isinstance(record, BadRecord):
                where, detail = f"line {record.line}", record.detail
                named = f"field '{record.field}': {detail}" if record.field else detail
                yield Remark("error", where, record.reason, named)
            else:
                yield from self._message(record, f"record {number}")

    def topic(self, records: Iterable[TopicRecord]) -> Iterator[Remark]:
        """Remarks on records as they lie on the broker: the key counts as well."""
        for record in records:
            self.records += 1
            where = str(record.origin)
            if record.value is None:
                yield Remark("error", where, "tombstone", "a record without a value: nothing is deleted here")
                continue
            try:
                message = decode_message(record.value)
            except InvalidMessage as error:
                yield Remark("error", where, error.reason, str(error).removesuffix(f" [{error.reason}]"))
                continue
            try:
                refuse_misplaced(record.key, message)
            except InvalidMessage as error:
                yield Remark("error", where, error.reason, error.detail)
            yield from self._message(message, where)

    def _message(self, message: Message, where: str) -> Iterator[Remark]:
        named = (message.conversation_id, message.message_id)
        content, before = content_hash(message), self._contents.get(named)
        event = event_of(message)
        if before is None and event != "said":
            yield Remark("warning", where, "unknown_target", f"{event} of an id that was not sent before it")
        if before not in (None, content) and event == "said":
            yield Remark(
                "warning", where, "text_changed", "this id was sent before with other words: say event edit"
            )
        self._contents[named] = content
        moment = (message.conversation_id, message.sent_at)
        if before is None and moment in self._moments and None in (message.seq, self._moments[moment]):
            yield Remark(
                "warning",
                where,
                "order_unclear",
                "another message of this conversation has the same sent_at: number them with seq",
            )
        self._moments.setdefault(moment, message.seq)
        try:
            refuse_future(message, self._now)
        except InvalidMessage as error:
            yield Remark("error", where, error.reason, f"field '{error.field}': {error.detail}")
        else:
            if message.sent_at > self._now + CLOCK_AHEAD:
                yield Remark(
                    "warning", where, "clock_ahead", "sent_at lies in the future: check the clock and offset"
                )
        for name in message.attributes:
            close = get_close_matches(name.lower(), FIELDS, n=1, cutoff=SIMILAR)
            if close and name != close[0]:
                yield Remark(
                    "warning", where, "looks_like", f"'{name}' is kept, not read: is '{close[0]}' meant?"
                )
