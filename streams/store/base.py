"""What everyone above asks of a store of messages and verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from detectors.domain import Message, Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Origin:
    """Where on the broker a record lies."""

    topic: str
    partition: int
    offset: int


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


@dataclass(frozen=True, slots=True, order=True)
class ReviewCursor:
    """
    How far a reader of `verdicts_for_review` has come.

    Keep it as `str(cursor)` and read it back with `ReviewCursor.parse`. It only
    means something to the store that gave it.
    """

    position: int
    message_id: str

    def __str__(self) -> str:
        return f"{self.position}:{self.message_id}"

    @classmethod
    def parse(cls, text: str) -> "ReviewCursor":
        """The cursor from its text. Raises ValueError for anything else."""
        position, separator, message_id = text.partition(":")
        if not separator:
            raise ValueError(f"not a review cursor: {text!r}")
        return cls(int(position), message_id)


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """How much a store holds, counted by message, so that repeats do not count twice."""

    messages: int
    verdicts: int
    flagged: int
    undecided: int


class EventStore(Protocol):
    """
    Keeps every message and every verdict.

    Writing the same thing again changes nothing. Of several verdicts on one message
    the one detected last is the verdict, whatever order they come in. Every method
    raises StoreError when the store cannot do it; what a write that failed left
    behind is harmless, so write all of it again.
    """

    def write_messages(self, rows: Sequence[StoredMessage]) -> None:
        """Keep these messages. When it returns, they are safe."""

    def write_verdicts(self, rows: Sequence[StoredVerdict]) -> None:
        """Keep these verdicts. When it returns, they are safe."""

    def message(self, message_id: str) -> Message | None:
        """The message, exactly as it was written."""

    def conversation(self, conversation_id: str) -> list[Message]:
        """All messages of a conversation, by time sent, then `seq`, then arrival."""

    def verdict(self, message_id: str) -> Verdict | None:
        """The latest verdict on a message."""

    def verdicts_for_review(
        self, after: ReviewCursor | None, limit: int
    ) -> tuple[list[Verdict], ReviewCursor | None]:
        """
        Verdicts that a person should see and that came after the cursor, oldest first.

        Give the returned cursor the next time; when nothing new is there, it is the one
        given. A verdict may come more than once (it was judged or written again), and a
        page may hold fewer than `limit` while more is to come: read until the cursor stays.
        """

    def counts(self) -> StoreCounts:
        """How many messages and verdicts are kept."""

    def close(self) -> None:
        """Let go of connections and files. May be called twice."""


def needs_review(verdict: Verdict) -> bool:
    """Whether a person should see this verdict."""
    return verdict.outcome is not Outcome.CLEAN or bool(verdict.queue_reasons)
