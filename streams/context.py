"""What was said before: the messages of a conversation that a new one is judged with."""

from collections import OrderedDict
from typing import Protocol

from detectors.domain import Message, Turn
from streams.conversation import Entry, before, find_or_make, insert, start_of_last

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
    Context in this process's memory.

    Keeps the latest `max_messages` of each conversation and the
    `max_conversations` used last; what is older is forgotten.
    """

    def __init__(self, max_messages: int = 12, max_conversations: int = 50_000) -> None:
        if max_messages < 1 or max_conversations < 1:
            raise ValueError("max_messages and max_conversations must be at least 1")
        self._max_messages = max_messages
        self._max_conversations = max_conversations
        self._arrivals = 0
        self._conversations: OrderedDict[str, list[Entry]] = OrderedDict()

    def turn(self, message: Message) -> Turn:
        """See `ConversationContext.turn`."""
        kept = self._conversations.get(message.conversation_id)
        if kept is None:
            kept = self._conversations[message.conversation_id] = []
            if len(self._conversations) > self._max_conversations:
                self._conversations.popitem(last=False)
        else:
            self._conversations.move_to_end(message.conversation_id)
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
        kept = list(self._conversations.get(message.conversation_id, ()))
        entry, _ = find_or_make(kept, message, self._arrivals + 1)
        return Turn(message, before(kept, entry, max_messages=self._max_messages))

    def __len__(self) -> int:
        """How many conversations are remembered."""
        return len(self._conversations)
