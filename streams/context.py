"""What was said before: the messages of a conversation that a new one is judged with."""

from collections import OrderedDict
from threading import Lock
from typing import Protocol

from detectors.domain import Message, Turn
from streams.conversation import Entry, before, find_or_make, insert, start_of_last
from streams.resting import RestingConversations

# Edits of one message, on average: past it the earliest messages go.
TEXTS_PER_MESSAGE = 4


class ConversationContext(Protocol):
    """Remembers the last messages of each conversation."""

    def turn(self, message: Message) -> Turn:
        """
        Add the message and return it with those that come before it.

        See `streams.conversation` for the rule. A late message is judged with what stood before
        it, not with what came after. A message that is sent again does not enter twice and
        sees what it saw the first time; an edited one takes the place of what it read before.
        """

    def peek(self, message: Message) -> Turn:
        """The turn of a message that may never be sent: as `turn`, but nothing is remembered. From any thread."""


class MemoryContext:
    """
    Context of one process, gone with it.

    Keeps the latest `max_messages` of each conversation. The `in_memory` conversations used
    last are held in memory, the `max_conversations` before them in a temporary file, so that
    memory does not grow with what is read; what is older still is forgotten. Raises
    `ContextUnwritable` when that file cannot grow.
    """

    def __init__(
        self, max_messages: int = 12, *, in_memory: int = 2_000, max_conversations: int = 200_000
    ) -> None:
        if min(max_messages, in_memory, max_conversations) < 1:
            raise ValueError("max_messages, in_memory and max_conversations must be at least 1")
        self._max_messages = max_messages
        self._in_memory = in_memory
        self._arrivals = 0
        self._conversations: OrderedDict[str, list[Entry]] = OrderedDict()
        self._resting = RestingConversations(max_conversations)
        self._lock = Lock()

    def turn(self, message: Message) -> Turn:
        """See `ConversationContext.turn`."""
        with self._lock:
            kept = self._take_up(message.conversation_id)
            self._arrivals += 1
            entry, is_new = find_or_make(kept, message, self._arrivals)
            turn = Turn(message, before(kept, entry, max_messages=self._max_messages))
            if is_new:
                insert(kept, entry)
                del kept[: start_of_last(kept, len(kept), self._max_messages)]
                del kept[: -self._max_messages * TEXTS_PER_MESSAGE]
            return turn

    def peek(self, message: Message) -> Turn:
        """See `ConversationContext.peek`."""
        with self._lock:
            kept = self._conversations.get(message.conversation_id)
            if kept is None:
                kept = self._resting.look(message.conversation_id) or []
            entry, _ = find_or_make(kept, message, self._arrivals + 1)
            return Turn(message, before(kept, entry, max_messages=self._max_messages))

    def _take_up(self, conversation_id: str) -> list[Entry]:
        kept = self._conversations.get(conversation_id)
        if kept is not None:
            self._conversations.move_to_end(conversation_id)
            return kept
        kept = self._conversations[conversation_id] = self._resting.take(conversation_id) or []
        if len(self._conversations) > self._in_memory:
            longest_unused, entries = next(iter(self._conversations.items()))
            if entries:
                self._resting.put(longest_unused, entries)
            del self._conversations[longest_unused]
        return kept

    def __len__(self) -> int:
        """How many conversations are remembered."""
        return len(self._conversations) + len(self._resting)
