"""Records that the engine drops are noticed; holes of the topic itself are not taken for losses for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.continuity import Arrival, Continuity, StallWatch


def continuity(committed: int | None = 0) -> Continuity:
    return Continuity(lambda _: committed)


def test_records_in_order_are_taken() -> None:
    watch = continuity()
    assert [Arrival.TAKE] * 5 == [watch.arrive(0, offset) for offset in range(5)]


def test_without_a_committed_offset_the_first_record_is_the_one_that_the_broker_still_has() -> None:
    watch = continuity(None)
    watch.begin(0, 17)
    assert watch.arrive(0, 32) is Arrival.REWIND
    assert watch.arrive(0, 33) is Arrival.LEAVE
    assert [Arrival.TAKE] * 3 == [watch.arrive(0, offset) for offset in (17, 18, 19)]


def test_nothing_is_taken_on_trust_where_nobody_said_what_comes_first() -> None:
    with pytest.raises(ValueError, match="where partition 0 begins"):
        continuity(None).arrive(0, 17)


def test_what_was_committed_counts_more_than_where_the_partition_begins() -> None:
    watch = continuity(8)
    watch.begin(0, 3)
    assert watch.expected(0) == 8


def test_a_partition_of_which_nothing_ever_arrived_shows_as_stalled() -> None:
    watch = continuity(None)
    stalls = StallWatch(watch)
    assert [[], []] == [stalls.stalled({0: 15}), stalls.stalled({0: 15})]
    watch.begin(0, 0)
    assert [[], [0]] == [stalls.stalled({0: 15}), stalls.stalled({0: 15})]


def test_a_hole_at_the_start_is_noticed() -> None:
    watch = continuity(8)
    assert watch.arrive(0, 10) is Arrival.REWIND
    assert watch.arrive(0, 11) is Arrival.LEAVE
    assert [Arrival.TAKE] * 4 == [watch.arrive(0, offset) for offset in (8, 9, 10, 11)]


def test_a_hole_that_stays_after_reading_again_is_the_topics_own() -> None:
    watch = continuity()
    assert watch.arrive(0, 0) is Arrival.TAKE
    assert watch.arrive(0, 2) is Arrival.REWIND
    assert watch.arrive(0, 0) is Arrival.DONE  # the rewind went further back
    assert watch.arrive(0, 2) is Arrival.TAKE_OVER_HOLE
    assert watch.arrive(0, 3) is Arrival.TAKE


def test_a_partition_that_was_away_begins_where_it_was_committed() -> None:
    watch = continuity(5)
    watch.arrive(0, 5)
    watch.forget([0])
    assert watch.arrive(0, 9) is Arrival.REWIND
    watch.forget([0])
    assert watch.arrive(0, 5) is Arrival.TAKE


def test_partitions_do_not_mix() -> None:
    watch = continuity()
    assert [Arrival.TAKE] * 4 == [watch.arrive(p, o) for p, o in ((0, 0), (1, 0), (1, 1), (0, 1))]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 4)), max_size=5), st.data())
def test_nothing_that_the_engine_drops_stays_unjudged(
    drops: list[tuple[int, int]], data: st.DataObject
) -> None:
    """However often records are dropped in flight: at the end all were taken, each once and in order."""
    total, watch, taken, read = 12, continuity(), [], 0
    lost = dict(drops)
    for _ in range(200):
        if read >= total:
            break
        skip = lost.pop(read, 0)
        offset = read + skip
        if offset >= total:
            read = 0  # the stall watch would go back
            continue
        arrival = watch.arrive(0, offset)
        read = offset + 1
        if arrival in (Arrival.TAKE, Arrival.TAKE_OVER_HOLE):
            taken.append(offset)
        elif arrival is Arrival.REWIND:
            read = data.draw(st.integers(0, watch.expected(0) or 0), "committed")
    assert list(range(total)) == taken


def test_a_stall_shows_at_the_second_look() -> None:
    watch = continuity()
    stalls = StallWatch(watch)
    watch.arrive(0, 0)
    assert stalls.stalled({0: 3}) == []
    assert stalls.stalled({0: 3}) == [0]
    watch.arrive(0, 1)
    assert stalls.stalled({0: 3}) == []
    watch.arrive(0, 2)
    assert stalls.stalled({0: 3}) == []
