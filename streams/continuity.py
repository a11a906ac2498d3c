"""
Does every record of a partition arrive? Notices what the engine dropped on its way.

Around a rebalance Faust can drop records that it has fetched, take the hole for one in the topic
(compaction, transaction markers), and later commit past it: messages that nobody ever judged. A record
that is not the next one is therefore not taken on trust: the partition is read again from the last
committed offset, and only if the broker then gives the same record first, the hole is the topic's own.
"""

from collections.abc import Callable, Iterable
from enum import Enum


class Arrival(Enum):
    """What to do with a record."""

    TAKE = "take"
    """It is the next one."""
    DONE = "done"
    """It was taken before and is read again: acknowledge it, judge nothing."""
    TAKE_OVER_HOLE = "take_over_hole"
    """The offsets before it hold no record."""
    LEAVE = "leave"
    """Neither judge nor acknowledge it: it comes again."""
    REWIND = "rewind"
    """The same, and ask for the partition to be read again from its committed offset."""


class Continuity:
    """
    The next offset of each partition, for one topic.

    `committed` gives the offset at which a restart would begin, None where nothing was
    committed yet; such a partition is read from the offset that `begin` was told. Forget
    a partition when it is taken away.
    """

    def __init__(self, committed: Callable[[int], int | None]) -> None:
        self._committed = committed
        self._begin: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._last_left: dict[int, int] = {}

    def expected(self, partition: int) -> int | None:
        """The offset that should come next; None while nobody knows: nothing committed, no `begin` told."""
        known = self._next.get(partition)
        if known is None:
            known = self._committed(partition)
        return self._begin.get(partition) if known is None else known

    def begin(self, partition: int, offset: int) -> None:
        """The first offset that the broker still has; counts until one is committed."""
        self._begin[partition] = offset

    def arrive(self, partition: int, offset: int) -> Arrival:
        """Look at the next record of a partition whose `expected` is known; raises ValueError where it is not."""
        known = self._next.get(partition)
        if known is not None and offset < known:
            return Arrival.DONE
        expected = self.expected(partition)
        last_left = self._last_left.get(partition)
        if expected is None:
            raise ValueError(f"nobody said where partition {partition} begins")
        if offset <= expected:
            self._take(partition, offset)
            return Arrival.TAKE
        if last_left is None:
            self._last_left[partition] = offset
            return Arrival.REWIND
        if offset > last_left:
            # Still the old flow, from before the rewind.
            self._last_left[partition] = offset
            return Arrival.LEAVE
        self._take(partition, offset)
        return Arrival.TAKE_OVER_HOLE

    def forget(self, partitions: Iterable[int]) -> None:
        """These partitions are read by somebody else now, or anew from their committed offset."""
        for partition in partitions:
            self._begin.pop(partition, None)
            self._next.pop(partition, None)
            self._last_left.pop(partition, None)

    def _take(self, partition: int, offset: int) -> None:
        self._next[partition] = offset + 1
        self._last_left.pop(partition, None)


class StallWatch:
    """
    Finds partitions whose records were fetched but never arrive.

    Asked from time to time with the fetch position of each partition; a partition
    whose position is ahead of what arrived, twice in a row without any arrival
    between, has lost records behind which nothing new has come yet.
    """

    def __init__(self, continuity: Continuity) -> None:
        self._continuity = continuity
        self._suspected: dict[int, int] = {}

    def stalled(self, positions: dict[int, int]) -> list[int]:
        """Partitions to read again."""
        behind = {
            partition: expected
            for partition, position in positions.items()
            if (expected := self._continuity.expected(partition)) is not None and expected < position
        }
        found = [
            partition for partition, expected in behind.items() if self._suspected.get(partition) == expected
        ]
        self._suspected = behind
        return found
