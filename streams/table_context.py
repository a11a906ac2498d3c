"""
The messages before a message, kept in a table that survives a restart.

Every conversation is one entry of the table. A worker that is killed reads some
records again, and must then see for each what it saw the first time. So an entry
keeps more than the messages that a turn shows: also all that arrived since the
last committed offset, and those before them.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from detectors.domain import Message, Turn
from streams.codec import decode_message, encode_message
from streams.store.base import Origin
from streams.topics import MAX_CONTEXT_BYTES

DEFAULT_MAX_MESSAGES = 12
DEFAULT_MAX_CONVERSATIONS = 50_000
# Since the last commit a conversation hardly has more; past it the oldest go.
MAX_UNCOMMITTED = 500
# Nobody reads the attributes of an earlier message; large ones are not carried along.
MAX_ATTRIBUTES_CHARS = 4_000
DECODED_CONVERSATIONS = 4_096


# A message id is only as unique as the CRM makes it: it counts within its conversation.
MessageKey = tuple[str, str]


def message_key(message: Message) -> MessageKey:
    """Conversation and message id."""
    return (message.conversation_id, message.message_id)


class ContextTable(Protocol):
    """The table beneath: a mapping of bytes whose changes go to a changelog."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""

    def put(self, key: bytes, value: bytes | None) -> None:
        """Change the local value; None removes it."""

    def publish(self, partition: int, key: bytes, value: bytes | None) -> Awaitable[object]:
        """Write to the changelog; done when the broker has it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A message with its line in the table: its offset, then itself. Encoded once, written many times."""

    offset: int
    message: Message
    line: bytes

    @property
    def order(self) -> tuple[datetime, int, int]:
        seq = self.message.seq
        return (self.message.sent_at, -1 if seq is None else seq, self.offset)


@dataclass(slots=True)
class _Conversation:
    raw: bytes
    entries: list[_Entry]


class TableContext:
    """
    A ConversationContext over a table; one per worker.

    Before a batch is judged, `expect` tells where each message came from; after it,
    `flush` writes what changed, and only then may the offsets move. `committed` gives
    the next offset that a restart would read of a partition, None when there is none.
    """

    def __init__(
        self,
        table: ContextTable,
        *,
        committed: Callable[[int], int | None],
        max_messages: int = DEFAULT_MAX_MESSAGES,
        max_conversations: int = DEFAULT_MAX_CONVERSATIONS,
    ) -> None:
        self._table = table
        self._committed = committed
        self._max_messages = max_messages
        self._max_conversations = max_conversations
        self._origins: Mapping[MessageKey, Origin] = {}
        self._dirty: dict[bytes, int] = {}
        self._decoded: OrderedDict[bytes, _Conversation] = OrderedDict()
        self._touched: OrderedDict[bytes, int] = OrderedDict()

    def expect(self, origins: Mapping[MessageKey, Origin]) -> None:
        """The origin of each message of the batch that is judged next."""
        self._origins = origins

    def remember(self, key: bytes, partition: int) -> None:
        """A conversation was read back from the changelog of this partition."""
        self._touched[key] = partition
        self._touched.move_to_end(key)

    def turn(self, message: Message) -> Turn:
        """Add the message; return it with those before it by time sent, `seq`, arrival."""
        origin = self._origins[message_key(message)]
        key = message.conversation_id.encode()
        entries = list(self._load(key))
        known = [entry for entry in entries if entry.message.message_id == message.message_id]
        entry = known[0] if known else _new_entry(origin.offset, message)
        before = [each for each in entries if each is not entry and each.order < entry.order]
        if not known:
            entries = [*before, entry, *(each for each in entries if each.order > entry.order)]
            self._save(key, self._trim(entries, origin.partition), origin.partition)
        self._touch(key, origin.partition)
        return Turn(message, tuple(each.message for each in before[-self._max_messages :]))

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

    def _load(self, key: bytes) -> list[_Entry]:
        raw = self._table.get(key)
        if raw is None:
            return []
        found = self._decoded.get(key)
        if found is None or found.raw is not raw:
            found = _Conversation(raw, _decode(raw))
        self._keep_decoded(key, found)
        return found.entries

    def _save(self, key: bytes, entries: list[_Entry], partition: int) -> None:
        raw, kept = _encode(entries)
        self._table.put(key, raw)
        self._keep_decoded(key, _Conversation(raw, kept))
        self._dirty[key] = partition

    def _keep_decoded(self, key: bytes, conversation: _Conversation) -> None:
        self._decoded[key] = conversation
        self._decoded.move_to_end(key)
        if len(self._decoded) > DECODED_CONVERSATIONS:
            self._decoded.popitem(last=False)

    def _trim(self, entries: list[_Entry], partition: int) -> list[_Entry]:
        committed = self._committed(partition) or 0
        first = next((i for i, entry in enumerate(entries) if entry.offset >= committed), len(entries))
        kept = entries[max(0, first - self._max_messages) :]
        return kept[-(self._max_messages + MAX_UNCOMMITTED) :]

    def _touch(self, key: bytes, partition: int) -> None:
        self.remember(key, partition)
        while len(self._touched) > self._max_conversations:
            oldest, its_partition = self._touched.popitem(last=False)
            self._decoded.pop(oldest, None)
            self._table.put(oldest, None)
            self._dirty[oldest] = its_partition


def _new_entry(offset: int, message: Message) -> _Entry:
    if sum(len(key) + len(value) for key, value in message.attributes.items()) > MAX_ATTRIBUTES_CHARS:
        message = replace(message, attributes={})
    return _Entry(offset, message, b"%d %s" % (offset, encode_message(message)))


def _encode(entries: list[_Entry]) -> tuple[bytes, list[_Entry]]:
    """One line per message; the oldest go when it is too large for the changelog."""
    lines = [entry.line for entry in entries]
    while len(lines) > 1 and sum(map(len, lines)) + len(lines) > MAX_CONTEXT_BYTES:
        lines.pop(0)
    return b"\n".join(lines), entries[len(entries) - len(lines) :]


def _decode(raw: bytes) -> list[_Entry]:
    entries = []
    for line in raw.split(b"\n"):
        offset, _, body = line.partition(b" ")
        entries.append(_Entry(int(offset), decode_message(body), line))
    return entries
