"""Scores and their intervals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.evaluation.metrics import Judgement, evaluate

LABELS = ["a", "b"]
A, B, NONE = frozenset("a"), frozenset("b"), frozenset[str]()


def test_scores_count_messages() -> None:
    result = evaluate(
        [
            Judgement("1", A, A, tags=("implied",)),
            Judgement("1", A, NONE, tags=("implied",)),
            Judgement("2", NONE, B, tags=("hard:negation",)),
            Judgement("3", NONE, NONE, undecided=True, tags=("hard:negation",)),
        ],
        LABELS,
    )
    assert (0.5, 0.5, 0.5) == (
        result.any_violation.precision.value,
        result.any_violation.recall.value,
        result.any_violation.f1.value,
    )
    assert 1.0 == result.labels["a"].precision.value
    assert 0 == result.labels["b"].support
    assert pytest.approx(2 / 3) == result.macro_f1  # of the labels that occur
    assert (0.5, 2) == (result.by_tag["implied"][0].value, result.by_tag["implied"][1])
    assert (0.5, 2) == (result.hard["negation"][0].value, result.hard["negation"][1])
    assert 500.0 == result.false_flags_per_1000.value
    assert 250.0 == result.undecided_per_1000


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="no messages"):
        evaluate([], LABELS)


def test_what_was_not_counted_is_no_number() -> None:
    assert math.isnan(evaluate([Judgement("1", NONE, NONE)], LABELS).any_violation.recall.value)


@given(
    st.lists(
        st.tuples(st.sampled_from("1234"), st.sampled_from([A, B, NONE]), st.sampled_from([A, B, NONE])),
        min_size=1,
        max_size=40,
    )
)
def test_intervals_hold_their_value(rows: list[tuple[str, frozenset[str], frozenset[str]]]) -> None:
    score = evaluate([Judgement(*row) for row in rows], LABELS).any_violation
    for estimate in (score.precision, score.recall, score.f1):
        if not math.isnan(estimate.value):
            assert 0 <= estimate.low <= estimate.high <= 1
            assert 0 <= estimate.value <= 1
