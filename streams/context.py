"""What was said before: the messages of a conversation that a new one is judged with."""

from bisect import bisect
from collections import OrderedDict
from datetime import datetime
from typing import Protocol

from detectors.domain import Message, Turn

_Order = tuple[datetime, int, int]


class ConversationContext(Protocol):
    """Remembers the last messages of each conversation."""

    def turn(self, message: Message) -> Turn:
        """
        Add the message and return it with those that come before it.

        Order is by `sent_at`, then `seq` (without one first), then arrival, so a late
        message is judged with what stood before it, not with what came after. A
        message id that is already remembered does not enter twice: its turn has the
        same messages before it.
        """


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
        self._conversations: OrderedDict[str, list[tuple[_Order, Message]]] = OrderedDict()

    def turn(self, message: Message) -> Turn:
        """See `ConversationContext.turn`."""
        kept = self._conversations.get(message.conversation_id)
        if kept is None:
            kept = self._conversations[message.conversation_id] = []
            if len(self._conversations) > self._max_conversations:
                self._conversations.popitem(last=False)
        else:
            self._conversations.move_to_end(message.conversation_id)
        for place, (_, known) in enumerate(kept):
            if known.message_id == message.message_id:
                return Turn(message, tuple(earlier for _, earlier in kept[:place]))
        self._arrivals += 1
        order = (message.sent_at, -1 if message.seq is None else message.seq, self._arrivals)
        place = bisect(kept, order, key=lambda entry: entry[0])
        turn = Turn(message, tuple(earlier for _, earlier in kept[:place]))
        kept.insert(place, (order, message))
        del kept[: -self._max_messages]
        return turn

    def __len__(self) -> int:
        """How many conversations are remembered."""
        return len(self._conversations)
