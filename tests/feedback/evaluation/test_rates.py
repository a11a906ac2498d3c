"""Intervals of rare events, and what a flag is worth at a base rate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.evaluation.metrics import Estimate
from feedback.evaluation.rates import at_base_rate, wilson


def test_nothing_seen_is_not_nothing_there() -> None:
    none = wilson(0, 1000, factor=1000)
    assert (0.0, 0.0) == (none.value, none.low)
    assert 3.8 == pytest.approx(none.high, abs=0.1)  # the textbook's 3.83 of 1,000


def test_nothing_counted_is_no_number() -> None:
    assert math.isnan(wilson(0, 0).value)


@given(st.integers(1, 10_000), st.data())
def test_the_interval_holds_the_share(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    found = wilson(hits, total)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_precision_at_a_base_rate_is_bayes() -> None:
    found = at_base_rate(Estimate(0.8, 0.7, 0.9), Estimate(0.002, 0.001, 0.004), 0.01)
    assert 0.8 * 0.01 / (0.8 * 0.01 + 0.002 * 0.99) == pytest.approx(found.precision.value)
    assert found.precision.low < found.precision.value < found.precision.high
    assert 1 / found.precision.value == pytest.approx(found.alerts_per_case)


def test_a_judge_that_finds_nothing_gives_no_true_case() -> None:
    nothing = Estimate(0.0, 0.0, 0.0)
    assert math.inf == at_base_rate(nothing, Estimate(0.002, 0.001, 0.004), 0.01).alerts_per_case
    assert math.isnan(at_base_rate(nothing, nothing, 0.01).precision.value)
