"""Calibration: what is promised against what came true."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.evaluation.reliability import reliability


def test_probabilities_that_come_true_have_no_error() -> None:
    result = reliability(np.array([0.25] * 4 + [0.75] * 4), np.array([1, 0, 0, 0, 1, 1, 1, 0]))
    assert 0.0 == pytest.approx(result.ece)
    assert [(4, 0.25), (4, 0.75)] == [(item.count, item.observed) for item in result.bins]


def test_boasting_is_seen() -> None:
    result = reliability(np.array([0.9] * 10), np.array([1] * 5 + [0] * 5))
    assert 0.4 == pytest.approx(result.ece)
    assert 0.4 == pytest.approx(result.ece_raised)


def test_without_a_raised_prediction_its_error_is_no_number() -> None:
    assert math.isnan(reliability(np.array([0.01, 0.02]), np.array([0, 0])).ece_raised)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match="no predictions"):
        reliability(np.zeros(0), np.zeros(0))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_every_prediction_is_in_one_bin(rows: list[tuple[float, bool]]) -> None:
    result = reliability(np.array([p for p, _ in rows]), np.array([float(o) for _, o in rows]))
    assert len(rows) == sum(item.count for item in result.bins)
    assert 0 <= result.ece <= 1
    assert all(item.low - 1e-9 <= item.predicted <= item.high + 1e-9 for item in result.bins)
