"""
What stood before a message in its conversation: the one rule for the context in memory and in the table.

Messages stand in the order of `sent_at`, `seq` (without one first), arrival. A message sees what had
arrived before it and stands before it, so a record that is read or sent again sees what it saw the
first time. An edited message stands where it first stood and reads as it last read. A recalled one
stays as it was said: it had been read. After a long silence a conversation begins anew.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from detectors.domain import Message
from streams.identity import event_of

# Over a weekend, but not longer: who answers on Monday what was asked on Friday evening answers it.
LONGEST_SILENCE = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One text of one message. `arrival` grows with every record of the conversation.

    `place` is the arrival of the first text with this id, and `message` bears its time, so that all
    texts of one message stand at the same place. `line` is how a table writes the entry.
    """

    arrival: int
    place: int
    message: Message
    line: bytes = b""

    @property
    def order(self) -> tuple[datetime, int, int]:
        """Where it stands in the conversation."""
        seq = self.message.seq
        return (self.message.sent_at, -1 if seq is None else seq, self.place)


def find_or_make(entries: Iterable[Entry], message: Message, arrival: int) -> tuple[Entry, bool]:
    """
    The entry of a message, and whether it is new and becomes part of the conversation.

    A repeat has the entry of the first. A recall has one that nobody after it sees, unless
    it brings words of a message that was never seen.
    """
    recalled = event_of(message) == "recall"
    same = [entry for entry in entries if entry.message.message_id == message.message_id]
    if not recalled:
        for entry in same:
            if (entry.message.text, entry.message.speaker) == (message.text, message.speaker):
                return entry, False
    if same:
        first = same[0]
        moved = replace(message, sent_at=first.message.sent_at, seq=first.message.seq)
        return Entry(arrival, first.place, moved), not recalled
    return Entry(arrival, arrival, message), not recalled or bool(message.text)


def insert(entries: list[Entry], entry: Entry) -> None:
    """Put a new entry at its place."""
    insort(entries, entry, key=lambda each: (each.order, each.arrival))


def before(
    entries: Iterable[Entry],
    entry: Entry,
    *,
    max_messages: int,
    longest_silence: timedelta = LONGEST_SILENCE,
) -> tuple[Message, ...]:
    """The messages that this one is judged with, at most `max_messages`, oldest first."""
    seen: dict[str, Entry] = {}
    for each in entries:
        if each.arrival < entry.arrival and each.order < entry.order:
            known = seen.get(each.message.message_id)
            if known is None or known.arrival < each.arrival:
                seen[each.message.message_id] = each
    chosen: list[Message] = []
    later = entry.message.sent_at
    for each in sorted(seen.values(), key=lambda one: one.order, reverse=True)[:max_messages]:
        if later - each.message.sent_at > longest_silence:
            break
        chosen.append(each.message)
        later = each.message.sent_at
    return tuple(reversed(chosen))


def without_superseded(entries: Sequence[Entry], committed: int) -> list[Entry]:
    """
    Without the texts that nobody asks for any more: those before `committed` that a later such text replaced.

    The first text of a message stays, so that an original that is sent again after its edit is known for a repeat.
    """
    latest: dict[str, int] = {}
    for entry in entries:
        if entry.arrival < committed:
            message_id = entry.message.message_id
            latest[message_id] = max(latest.get(message_id, -1), entry.arrival)
    return [
        entry
        for entry in entries
        if entry.arrival == entry.place or entry.arrival >= latest.get(entry.message.message_id, -1)
    ]


def start_of_last(entries: Sequence[Entry], end: int, max_messages: int) -> int:
    """The index from which `entries[:end]` has its last `max_messages` different messages."""
    ids: set[str] = set()
    for index in range(end - 1, -1, -1):
        ids.add(entries[index].message.message_id)
        if len(ids) > max_messages:
            return index + 1
    return 0
