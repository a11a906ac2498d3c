"""Which conversations a worker may forget: those that are silent longest."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta


class IdleConversations:
    """
    When each conversation was last heard of, by partition.

    Only conversations of partitions that this worker judges (`owned`) are given out to be
    forgotten: those of the others are here for a rebalance, and their worker forgets them.
    """

    def __init__(self, clock: Callable[[], datetime], *, max_conversations: int, max_idle: timedelta) -> None:
        self._clock = clock
        self._max_conversations = max_conversations
        self._max_idle = max_idle
        self._heard: dict[int, OrderedDict[bytes, datetime]] = {}
        self._owned: set[int] = set()

    def touch(self, key: bytes, partition: int, *, owned: bool = False) -> None:
        """Something was said, or read back from the changelog."""
        if owned:
            self._owned.add(partition)
        heard = self._heard.setdefault(partition, OrderedDict())
        heard[key] = self._clock()
        heard.move_to_end(key)

    def drop(self, key: bytes, partition: int) -> None:
        """The conversation is forgotten already."""
        self._heard.get(partition, OrderedDict()).pop(key, None)

    def disown(self, partition: int) -> None:
        """Another worker judges this partition now."""
        self._owned.discard(partition)

    def take_forgotten(self) -> Iterator[tuple[bytes, int]]:
        """Conversations, with their partitions, that are forgotten by being given out."""
        mine = [partition for partition in self._owned if self._heard.get(partition)]
        over = sum(len(self._heard[partition]) for partition in mine) - self._max_conversations
        limit = self._clock() - self._max_idle
        while mine:
            oldest = min(mine, key=lambda partition: next(iter(self._heard[partition].values())))
            heard = self._heard[oldest]
            key, at = next(iter(heard.items()))
            if over <= 0 and at >= limit:
                return
            del heard[key]
            over -= 1
            yield key, oldest
            if not heard:
                mine.remove(oldest)
