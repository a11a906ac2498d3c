"""What everyone above asks of a store of messages, verdicts and what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, Protocol

import orjson

from detectors.domain import Message, Outcome, Verdict
from streams.dead_letter_events import DeadLetterEvent
from streams.identity import MessageKey
from streams.ledger import LedgerRecord
from streams.origin import Origin as Origin  # part of this module's words
from streams.reviews import Review

Stored = Literal["messages", "verdicts"]


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it is written. Without a broker it has no origin."""

    message: Message
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict as it is written."""

    verdict: Verdict
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class ReviewCursor:
    """
    How far a reader of `verdicts_for_review` has come, per stream of verdicts.

    A stream is a partition of the broker's topic, in which offsets only grow. No clock is in
    it: several sinks may write at once, each with a clock of its own, and none is passed over.
    Keep it as `str(cursor)` and read it back with `ReviewCursor.parse`. It only means
    something to the store that gave it.
    """

    positions: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return orjson.dumps(dict(self.positions), option=orjson.OPT_SORT_KEYS).decode()

    @classmethod
    def parse(cls, text: str) -> "ReviewCursor":
        """The cursor from its text. Raises ValueError for anything else, also for cursors of redline 0.1."""
        try:
            positions = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"not a review cursor: {text!r}") from error
        if not isinstance(positions, dict) or not all(type(place) is int for place in positions.values()):
            raise ValueError(f"not a review cursor: {text!r}")
        return cls(positions)

    def moved(self, positions: Mapping[str, int]) -> "ReviewCursor":
        """The cursor after these streams were read so far."""
        return ReviewCursor({**self.positions, **positions})


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """
    How much a store holds; repeats do not count twice.

    An id that came with two texts counts as two messages. `dead_letters` are those that
    nobody replayed or dropped.
    """

    messages: int
    verdicts: int
    flagged: int
    undecided: int
    dead_letters: int = 0


class EventStore(Protocol):
    """
    Keeps every message, every verdict, every decision on them and every dead letter.

    Writing the same thing again changes nothing. A message is known by conversation, id and
    content (`streams.identity`): of several verdicts on the same content the one detected
    last is the verdict, whatever order they come in, but one that the LLM judge amended stands above
    all others (`Verdict.standing`); another content has a verdict of its own.
    Every method raises StoreError when the store cannot do it; what a write that failed
    left behind is harmless, so write all of it again.
    """

    def write_messages(self, rows: Sequence[StoredMessage]) -> None:
        """Keep these messages. When it returns, they are safe."""

    def write_verdicts(self, rows: Sequence[StoredVerdict]) -> None:
        """Keep these verdicts. When it returns, they are safe."""

    def write_reviews(self, rows: Sequence[Review]) -> None:
        """Keep what reviewers decided and withdrew."""

    def write_ledger(self, rows: Sequence[LedgerRecord]) -> None:
        """Keep what happened to models and rule packs."""

    def write_dead_letters(self, rows: Sequence[DeadLetterEvent]) -> None:
        """Keep which records failed, and which of them were replayed or dropped; never their bytes."""

    def message(self, conversation_id: str, message_id: str, content: str | None = None) -> Message | None:
        """The message with this content, exactly as it first came; without `content` the last new one."""

    def conversation(self, conversation_id: str) -> list[Message]:
        """All messages of a conversation, by time sent, then `seq`, then arrival; each text of an id."""

    def verdict(self, conversation_id: str, message_id: str, content: str | None = None) -> Verdict | None:
        """The latest verdict on this content; without `content` the gravest of all, then the latest."""

    def verdicts(self, keys: Sequence[MessageKey]) -> dict[MessageKey, Verdict]:
        """The latest verdict for each of the keys that has one."""

    def present(self, kind: Stored, keys: Sequence[MessageKey]) -> set[MessageKey]:
        """Which of the keys have a stored message, or a stored verdict."""

    def verdicts_for_review(
        self, after: ReviewCursor | None, limit: int
    ) -> tuple[list[Verdict], ReviewCursor | None]:
        """
        Verdicts that a person should see and that came after the cursor, oldest first.

        Give the returned cursor the next time; when nothing new is there, it is the one
        given. A verdict may come more than once (it was judged or written again), and a
        page may hold fewer than `limit` while more is to come: read until the cursor stays.
        """

    def select(self, query: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """
        The rows of a query over the `current_…` views; `:name` stands for a value.

        `streams.store.queries` says how a query is written so that every store takes it.
        """

    def counts(self) -> StoreCounts:
        """How much is kept."""

    def months(self) -> list[date]:
        """The first days of the months of which messages or verdicts are kept, oldest first."""

    def drop_month(self, month: date) -> None:
        """Forget the messages sent and the verdicts given in a month; decisions and ledgers stay."""

    def close(self) -> None:
        """Let go of connections and files. May be called twice."""


def needs_review(verdict: Verdict) -> bool:
    """Whether a person should see this verdict."""
    return verdict.outcome is not Outcome.CLEAN or bool(verdict.queue_reasons)
