"""Decision points of a model that was trained on without innocent text."""

import numpy as np
import pytest

from detectors.manifest import LabelThresholds, Threshold
from feedback.training.thresholds import Points, carried_over, flagged

POINTS = Points(
    {name: LabelThresholds(flag=0.5, doubt=0.25, scale=1.0, shift=-0.5) for name in ("a", "b")},
    Threshold(flag=0.7, doubt=0.35),
)


@pytest.mark.parametrize("drift", [-0.7, 0.0, 0.4, 1.5])
def test_a_model_whose_scores_all_drift_flags_the_same_turns(drift: float) -> None:
    served = np.random.default_rng(3).normal(-1.5, 1.5, (400, 2))
    compliant = np.arange(400) % 4 > 0
    before = flagged(served, POINTS)
    carried = carried_over(POINTS, served, served + drift, compliant)
    after = flagged(served + drift, carried)
    assert after[compliant].sum() <= before[compliant].sum()
    assert (before == after).mean() > 0.98


def test_a_model_that_learnt_something_keeps_the_gain() -> None:
    served = np.random.default_rng(4).normal(-1.5, 1.5, (400, 2))
    compliant = np.arange(400) % 4 > 0
    better = served + np.where(compliant, 0.5, 2.0)[:, None]
    carried = carried_over(POINTS, served, better, compliant)
    assert flagged(better, carried)[compliant].sum() <= flagged(served, POINTS)[compliant].sum()
    assert flagged(better, carried)[~compliant].sum() > flagged(served, POINTS)[~compliant].sum()
