"""Which conversations a worker may forget: those that are silent longest."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from streams.conversation import LONGEST_SILENCE

MEBI = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ContextLimits:
    """How much a worker remembers: so many conversations and bytes, and none that is silent for `max_idle`."""

    max_conversations: int = 50_000
    max_bytes: int = 256 * MEBI
    # Past the longest silence a message sees none of the conversation; a day more for clocks that differ.
    max_idle: timedelta = LONGEST_SILENCE + timedelta(hours=24)


@dataclass(slots=True)
class _Partition:
    heard: OrderedDict[bytes, tuple[datetime, int]]
    size: int = 0

    def set(self, key: bytes, at: datetime, size: int) -> None:
        self.remove(key)
        self.heard[key] = (at, size)
        self.size += size

    def remove(self, key: bytes) -> None:
        _, size = self.heard.pop(key, (None, 0))
        self.size -= size


class IdleConversations:
    """
    When each conversation was last heard of and how large it is, by partition.

    Only conversations of partitions that this worker judges (`owned`) are given out to be
    forgotten: those of others were read back when they were its own, and their worker forgets them.
    """

    def __init__(self, limits: ContextLimits, clock: Callable[[], datetime]) -> None:
        self._limits = limits
        self._clock = clock
        self._partitions: dict[int, _Partition] = {}
        self._owned: set[int] = set()

    def touch(self, key: bytes, partition: int, size: int, *, owned: bool = False) -> None:
        """Something was said, or read back from the changelog; the conversation has `size` bytes now."""
        if owned:
            self._owned.add(partition)
        self._partitions.setdefault(partition, _Partition(OrderedDict())).set(key, self._clock(), size)

    def drop(self, key: bytes, partition: int) -> None:
        """The conversation is forgotten already."""
        if partition in self._partitions:
            self._partitions[partition].remove(key)

    def disown(self, partition: int) -> None:
        """Another worker judges this partition now."""
        self._owned.discard(partition)

    def take_forgotten(self) -> Iterator[tuple[bytes, int]]:
        """Conversations, with their partitions, that are forgotten by being given out. Never the one last heard."""
        mine = [number for number in self._owned if self._partitions[number].heard]
        conversations = sum(len(self._partitions[number].heard) for number in mine)
        size = sum(self._partitions[number].size for number in mine)
        limit = self._clock() - self._limits.max_idle
        while conversations > 1:
            oldest = min(mine, key=lambda number: next(iter(self._partitions[number].heard.values()))[0])
            partition = self._partitions[oldest]
            key, (at, its_size) = next(iter(partition.heard.items()))
            over = conversations > self._limits.max_conversations or size > self._limits.max_bytes
            if not over and at >= limit:
                return
            partition.remove(key)
            conversations, size = conversations - 1, size - its_size
            yield key, oldest
            if not partition.heard:
                mine.remove(oldest)
