"""How well the marked evidence fits what people marked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.domain import Evidence, Finding, Outcome, Severity, Turn, Verdict
from feedback.evaluation.evidence_overlap import evidence_overlap
from feedback.evaluation.suite import measure
from feedback.evaluation.systems import Found, JudgeSystem, Spans
from feedback.labelled import LabelledTurn
from tests.detectors.samples import AT, VERSIONS
from tests.feedback.evaluation.systems import row

TEXT = "这款保本保息，您放心"  # ten characters; 保本保息 is [2, 6)
GOLD = ((2, 6),)


def promise(evidence: Spans = GOLD, *labels: str) -> LabelledTurn:
    return replace(row(TEXT, *(labels or ("a",))), evidence=evidence)


def found(**evidence: Spans) -> Found:
    return Found(frozenset(evidence), evidence=evidence)


@pytest.mark.parametrize(
    ("marked", "precision", "recall", "f1"),
    [
        (((2, 6),), 1.0, 1.0, 1.0),
        (((0, 10),), 0.4, 1.0, 0.8 / 1.4),
        (((2, 4),), 1.0, 0.5, 1.0 / 1.5),
        (((2, 4), (3, 6)), 1.0, 1.0, 1.0),  # a character that is marked twice counts once
        (((7, 10),), 0.0, 0.0, 0.0),
        ((), 0.0, 0.0, 0.0),
    ],
)
def test_characters_are_counted(marked: Spans, precision: float, recall: float, f1: float) -> None:
    overlap = evidence_overlap([promise()], [found(a=marked)])
    assert overlap is not None
    assert 1 == overlap.messages
    values = (overlap.precision.value, overlap.recall.value, overlap.f1.value)
    assert pytest.approx((precision, recall, f1)) == values


def test_only_right_labels_mark() -> None:
    overlap = evidence_overlap([promise()], [found(a=((2, 6),), b=((0, 10),))])
    assert overlap is not None
    assert (1.0, 0.4) == (overlap.precision.value, overlap.marked_share)


def test_what_two_right_labels_mark_is_taken_together() -> None:
    overlap = evidence_overlap([promise(GOLD, "a", "b")], [found(a=((2, 4),), b=((4, 6),))])
    assert overlap is not None
    assert (1.0, 1.0) == (overlap.precision.value, overlap.recall.value)


def test_the_mean_is_over_messages_and_the_shares_are_medians() -> None:
    rows = [promise(), promise(), promise()]
    said = [found(a=((0, 10),)), found(a=((2, 6),)), found(a=((2, 4),))]
    overlap = evidence_overlap(rows, said)
    assert overlap is not None
    assert pytest.approx(2.4 / 3) == overlap.precision.value
    assert pytest.approx(2.5 / 3) == overlap.recall.value
    assert (0.4, 0.4) == (overlap.marked_share, overlap.gold_share)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (promise(), Found(frozenset("a"))),  # marks nothing at all
        (promise(), found(b=((2, 6),))),
        (promise(), found()),
        (promise(()), found(a=((2, 6),))),
        (replace(promise(), labels=frozenset()), found(a=((2, 6),))),
    ],
)
def test_without_a_found_violation_that_has_evidence_there_is_no_figure(
    item: LabelledTurn, said: Found
) -> None:
    assert evidence_overlap([item], [said]) is None


spans = st.lists(st.tuples(st.integers(-2, 12), st.integers(-2, 12)), max_size=4).map(tuple)


@given(spans, spans)
def test_marking_more_never_finds_less_and_every_figure_is_a_share(marked: Spans, more: Spans) -> None:
    few, many = (evidence_overlap([promise()], [found(a=part)]) for part in (marked, (*marked, *more)))
    assert few is not None
    assert many is not None
    assert few.recall.value <= many.recall.value
    assert few.marked_share <= many.marked_share
    for overlap in (few, many):
        low, high = sorted((overlap.precision.value, overlap.recall.value))
        assert 0 <= low <= overlap.f1.value + 1e-9
        assert overlap.f1.value <= high + 1e-9 <= 1 + 2e-9
        assert 0 <= overlap.marked_share <= 1


@dataclass(frozen=True)
class Flagging:
    """Judges every message as flagged, or as undecided, for `a` at 保本."""

    outcome: Outcome

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        seen = Finding("a", Severity.HIGH, 0.9, (), (Evidence(2, 4, "保本"),))
        return [
            Verdict(
                message_id=turn.message.message_id,
                conversation_id=turn.message.conversation_id,
                outcome=self.outcome,
                findings=(seen,),
                priority=0,
                degraded=False,
                queue_reasons=(),
                versions=VERSIONS,
                detected_at=AT,
                latency_ms=0.0,
            )
            for turn in turns
        ]


def test_evidence_is_that_of_flagged_verdicts() -> None:
    systems = [
        JudgeSystem(outcome.value, Flagging(outcome)) for outcome in (Outcome.FLAGGED, Outcome.UNDECIDED)
    ]
    flagged, undecided = measure(systems, [promise()], {}, {}, ["a"]).values()
    assert flagged.evidence is not None
    assert (1.0, 0.5) == (flagged.evidence.precision.value, flagged.evidence.recall.value)
    assert undecided.evidence is None
