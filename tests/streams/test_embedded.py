"""Records in, one result each out, in order, one batch in memory."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.domain import Message, Outcome, Speaker, Turn, Verdict, Versions
from streams.context import MemoryContext
from streams.embedded import ScanProgress, scan
from streams.pipeline import Judged, Pipeline
from streams.readers.base import BadRecord

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


class StubJudge:
    """Flags what says so."""

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        versions = Versions("1", "p", None, None, "0")
        return [
            Verdict(t.message.message_id, "c", Outcome(t.message.text), (), 0, False, (), versions, NOON, 0.1)
            for t in turns
        ]


def record(number: int, kind: str) -> Message | BadRecord:
    if kind == "bad":
        return BadRecord(number, "bad_json", "", None, "")
    return Message(f"m{number}", "c", NOON, Speaker.ADVISOR, kind)


@given(st.lists(st.sampled_from(["bad", *Outcome]), max_size=30), st.integers(1, 9))
def test_one_result_per_record_in_order(kinds: list[str], batch_size: int) -> None:
    records = [record(number, kind) for number, kind in enumerate(kinds)]
    told: list[ScanProgress] = []
    pipeline = Pipeline(StubJudge(), MemoryContext())
    results = list(scan(records, pipeline, batch_size=batch_size, on_progress=told.append))
    assert records == [r.turn.message if isinstance(r, Judged) else r for r in results]
    if kinds:
        counts = (kinds.count("bad"), kinds.count("flagged"), kinds.count("undecided"))
        assert (told[-1].bad, told[-1].flagged, told[-1].undecided) == counts
        assert told[-1].read == len(kinds)


def test_records_are_taken_one_batch_at_a_time() -> None:
    taken: list[int] = []

    def source() -> Iterator[Message | BadRecord]:
        for number in range(100):
            taken.append(number)
            yield record(number, "clean")

    results = scan(source(), Pipeline(StubJudge(), MemoryContext()), batch_size=10)
    next(results)
    assert len(taken) == 10


def test_source_that_breaks_off_still_gives_what_came_before() -> None:
    def source() -> Iterator[Message | BadRecord]:
        yield record(0, "clean")
        raise OSError("disk")

    results = scan(source(), Pipeline(StubJudge(), MemoryContext()))
    assert isinstance(next(results), Judged)
    with pytest.raises(OSError, match="disk"):
        next(results)


def test_batch_size_must_be_positive() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        next(scan([], Pipeline(StubJudge(), MemoryContext()), batch_size=0))
