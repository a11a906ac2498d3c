"""Batches through context and judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from detectors.domain import Message, Outcome, Speaker, Turn, Verdict, Versions
from streams.context import MemoryContext
from streams.pipeline import JudgeMismatch, Pipeline

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
VERSIONS = Versions("1", "p", None, None, "0")


def said(name: str, second: int = 0) -> Message:
    return Message(name, "c", NOON + timedelta(seconds=second), Speaker.ADVISOR, name)


@dataclass
class StubJudge:
    """Flags nothing; keeps what it was asked."""

    asked: list[Turn] = field(default_factory=list)
    broken: Callable[[list[Verdict]], list[Verdict]] | None = None

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        self.asked.extend(turns)
        verdicts = [
            Verdict(t.message.message_id, "c", Outcome.CLEAN, (), 0, False, (), VERSIONS, NOON, 0.1)
            for t in turns
        ]
        return self.broken(verdicts) if self.broken else verdicts


def test_each_message_is_judged_with_those_before_it_in_one_call() -> None:
    judge = StubJudge()
    results = Pipeline(judge, MemoryContext()).process([said("a"), said("b", 1), said("c", 2)])
    assert [result.verdict.message_id for result in results] == ["a", "b", "c"]
    assert [tuple(m.message_id for m in t.before) for t in judge.asked] == [(), ("a",), ("a", "b")]
    assert not any(result.duplicate for result in results)


def test_duplicate_is_judged_again_and_marked() -> None:
    pipeline = Pipeline(StubJudge(), MemoryContext())
    first = pipeline.process([said("a"), said("b", 1), said("a")])
    assert [result.duplicate for result in first] == [False, False, True]
    (again,) = pipeline.process([said("b", 1)])
    assert again.duplicate
    assert again.turn == first[1].turn


def test_the_last_ids_are_remembered_and_older_ones_need_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.pipeline.REMEMBERED_IDS", 3)
    pipeline = Pipeline(StubJudge(), MemoryContext())
    pipeline.process([said(name, second) for second, name in enumerate("abcd")])
    repeats = pipeline.process([said(name, second) for second, name in enumerate("bcd", start=1)])
    assert all(result.duplicate for result in repeats)
    (other,) = pipeline.process([said("never seen", 9)])
    assert not other.duplicate
    pipeline.process([said(f"new {second}", second) for second in range(10, 16)])
    assert len(pipeline._recent) + len(pipeline._before_those) <= 6


def test_empty_batch_does_not_ask() -> None:
    assert Pipeline(StubJudge(), MemoryContext()).process([]) == []


@pytest.mark.parametrize(
    "broken",
    [
        lambda verdicts: verdicts[:-1],
        lambda verdicts: verdicts[::-1],
        lambda verdicts: [replace(v, conversation_id="other") for v in verdicts],
    ],
)
def test_verdicts_for_other_turns_are_refused(broken: Callable[[list[Verdict]], list[Verdict]]) -> None:
    with pytest.raises(JudgeMismatch):
        Pipeline(StubJudge(broken=broken), MemoryContext()).process([said("a"), said("b")])


def test_failed_batch_can_be_processed_again() -> None:
    def fail(_: list[Verdict]) -> list[Verdict]:
        raise MemoryError

    judge = StubJudge(broken=fail)
    pipeline = Pipeline(judge, MemoryContext())
    with pytest.raises(MemoryError):
        pipeline.process([said("a"), said("b", 1)])
    judge.broken = None
    results = pipeline.process([said("a"), said("b", 1)])
    assert [result.duplicate for result in results] == [False, False]
    assert judge.asked[:2] == judge.asked[2:]
