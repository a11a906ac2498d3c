"""
The messages before a message, kept in a table that survives a restart.

Every conversation is one entry of the table. A worker that is killed reads some
records again, and must then see for each what it saw the first time. So an entry
keeps more than the messages that a turn shows: also all that arrived since the
last committed offset, and those before them.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from detectors.domain import Message, Turn
from streams.conversation import (
    Entry,
    before,
    find_or_make,
    insert,
    start_of_last,
    without_superseded,
)
from streams.conversation_lines import entries_of, with_line
from streams.idle import ContextLimits, IdleConversations
from streams.origin import Origin
from streams.topics import MAX_CONTEXT_BYTES

DEFAULT_MAX_MESSAGES = 12
# Since the last commit a conversation hardly has more; past it the oldest go.
MAX_UNCOMMITTED = 500
# What is used now and then stays decoded: some thousand conversations of usual length.
MAX_DECODED_BYTES = 16 * 1024 * 1024


class ContextTable(Protocol):
    """The table beneath: a mapping of bytes whose changes go to a changelog."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""

    def put(self, key: bytes, value: bytes | None) -> None:
        """Change the local value; None removes it."""

    def publish(self, partition: int, key: bytes, value: bytes | None) -> Awaitable[object]:
        """Write to the changelog; done when the broker has it."""


@dataclass(slots=True)
class _Conversation:
    raw: bytes
    entries: list[Entry]


class TableContext:
    """
    A ConversationContext over a table; one per worker.

    Before a batch is judged, `expect` tells where each of its messages came from; after it,
    `flush` writes what changed, and only then may the offsets move. `committed` gives
    the next offset that a restart would read of a partition, None when there is none.

    A conversation is forgotten when it was silent for too long, by the worker's clock, or is the
    longest silent where there are more than `limits` allow.
    """

    def __init__(
        self,
        table: ContextTable,
        *,
        committed: Callable[[int], int | None],
        clock: Callable[[], datetime],
        max_messages: int = DEFAULT_MAX_MESSAGES,
        limits: ContextLimits | None = None,
    ) -> None:
        self._table = table
        self._committed = committed
        self._max_messages = max_messages
        self._expected: Mapping[int, tuple[Message, Origin]] = {}
        self._dirty: dict[bytes, int] = {}
        self._decoded: OrderedDict[bytes, _Conversation] = OrderedDict()
        self._decoded_bytes = 0
        self._idle = IdleConversations(limits or ContextLimits(), clock)

    def expect(self, batch: Iterable[tuple[Message, Origin]]) -> None:
        """
        The messages of the batch that is judged next, each with its origin.

        `turn` is then asked about these objects: an edit, a recall and a repeat have the id of the
        message that they come after, and each its own place in the order of arrival.
        """
        # Kept with their origins: the id of an object means it only while it lives.
        self._expected = {id(message): (message, origin) for message, origin in batch}

    def remember(self, key: bytes, value: bytes | None, partition: int) -> None:
        """A conversation was read back from the changelog of this partition, or (None) that it was forgotten."""
        if value is None:
            self._idle.drop(key, partition)
        else:
            self._idle.touch(key, partition, len(value))

    def disown(self, partitions: Iterable[int]) -> None:
        """These partitions are another worker's now: their changelog is not ours to write."""
        for partition in partitions:
            self._idle.disown(partition)

    def turn(self, message: Message) -> Turn:
        """Add the message; return it with those before it. See `ConversationContext.turn`."""
        _, origin = self._expected[id(message)]
        key = message.conversation_id.encode()
        entries = self._load(key)
        entry, is_new = find_or_make(entries, message, origin.offset)
        turn = Turn(message, before(entries, entry, max_messages=self._max_messages))
        if is_new:
            entries = list(entries)
            insert(entries, with_line(entry))
            self._save(key, self._trim(entries, origin.partition), origin.partition)
        self._idle.touch(key, origin.partition, len(self._table.get(key) or b""), owned=True)
        self._forget_idle()
        return turn

    def peek(self, message: Message) -> Turn:
        """See `ConversationContext.peek`. Sees what this worker has of the conversation; touches no cache of it."""
        raw = self._table.get(message.conversation_id.encode())
        entries = [] if raw is None else entries_of(raw)
        arrival = max((entry.arrival for entry in entries), default=0) + 1
        entry, _ = find_or_make(entries, message, arrival)
        return Turn(message, before(entries, entry, max_messages=self._max_messages))

    async def flush(self) -> None:
        """Write every conversation that changed since the last flush; returns when the broker has them."""
        changed, self._dirty = self._dirty, {}
        values = {key: self._table.get(key) for key in changed}
        on_their_way = [self._table.publish(part, key, values[key]) for key, part in changed.items()]
        for sent in on_their_way:
            await sent
        for key, value in values.items():
            # A rebalance in the meantime read the changelog back, and may have put an older value here.
            self._table.put(key, value)

    def _load(self, key: bytes) -> list[Entry]:
        raw = self._table.get(key)
        if raw is None:
            return []
        found = self._decoded.get(key)
        if found is None or found.raw is not raw:
            found = _Conversation(raw, entries_of(raw))
        self._keep_decoded(key, found)
        return found.entries

    def _save(self, key: bytes, entries: list[Entry], partition: int) -> None:
        raw, kept = _encode(entries)
        self._table.put(key, raw)
        self._keep_decoded(key, _Conversation(raw, kept))
        self._dirty[key] = partition

    def _keep_decoded(self, key: bytes, conversation: _Conversation) -> None:
        self._drop_decoded(key)
        self._decoded[key] = conversation
        self._decoded_bytes += len(conversation.raw)
        while len(self._decoded) > 1 and self._decoded_bytes > MAX_DECODED_BYTES:
            self._drop_decoded(next(iter(self._decoded)))

    def _drop_decoded(self, key: bytes) -> None:
        dropped = self._decoded.pop(key, None)
        if dropped is not None:
            self._decoded_bytes -= len(dropped.raw)

    def _trim(self, entries: list[Entry], partition: int) -> list[Entry]:
        committed = self._committed(partition) or 0
        entries = without_superseded(entries, committed)
        first = next((i for i, entry in enumerate(entries) if entry.arrival >= committed), len(entries))
        kept = entries[start_of_last(entries, first, self._max_messages) :]
        return kept[-(self._max_messages + MAX_UNCOMMITTED) :]

    def _forget_idle(self) -> None:
        for key, partition in self._idle.take_forgotten():
            self._drop_decoded(key)
            self._table.put(key, None)
            self._dirty[key] = partition


def _encode(entries: list[Entry]) -> tuple[bytes, list[Entry]]:
    """One line per message; the oldest go when it is too large for the changelog."""
    lines = [entry.line for entry in entries]
    while len(lines) > 1 and sum(map(len, lines)) + len(lines) > MAX_CONTEXT_BYTES:
        lines.pop(0)
    return b"\n".join(lines), entries[len(entries) - len(lines) :]
