"""Decision points of a model that was trained on without innocent text."""

import numpy as np
import pytest

from detectors.manifest import LabelThresholds, Threshold
from feedback.training.settings import FinetuneSettings
from feedback.training.thresholds import Points, carried_over, choose, flagged

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


@pytest.mark.parametrize(
    ("floor", "wrong", "moves"),
    [(0.9, 0, False), (0.96, 0, True), (0.96, 200, False)],
    ids=["kept already", "raised", "out of reach: nothing is given up for it"],
)
def test_a_floor_of_precision_raises_the_point_of_any_violation_and_nothing_else(
    floor: float, wrong: int, moves: bool
) -> None:
    # Half of the violations are plain, the others raise every label a little: these only their sum finds.
    dice = np.random.default_rng(5)
    violating = dice.random(4000) < 0.2
    plain = violating & (dice.random(4000) < 0.5)
    targets = np.zeros((4000, 6))
    targets[violating, dice.integers(0, 6, int(violating.sum()))] = 1
    logits = dice.normal(-3, 0.7, (4000, 6)) + 5 * targets * plain[:, None]
    logits += 0.7 * (violating & ~plain)[:, None]
    logits[np.flatnonzero(~violating)[:wrong], 0] += 5  # these look as plain
    free, held = (
        choose(list("abcdef"), logits, targets, logits[:50] - 20, FinetuneSettings(precision_floor=each))
        for each in (0.0, floor)
    )
    assert [item.model_copy(update={"beside": None}) for item in free.labels.values()] == [
        item.model_copy(update={"beside": None}) for item in held.labels.values()
    ]
    assert free.any_violation.doubt == held.any_violation.doubt
    assert moves == (free.any_violation.flag < held.any_violation.flag)
    before, after = (violating[flagged(logits, points)].mean() for points in (free, held))
    if moves:
        assert before < floor <= after


def test_in_flagged_messages_labels_are_named_from_a_lower_point() -> None:
    """Two labels that always come together, one of them weakly: its own point would leave it unnamed."""
    dice = np.random.default_rng(6)
    violating = dice.random(3000) < 0.2
    targets = np.repeat(violating[:, None], 2, axis=1).astype(float)
    logits = dice.normal(-3, 1.0, (3000, 2))
    logits[violating] += (6.0, 2.0)
    logits[np.flatnonzero(~violating)[:300], 1] += 2.5  # what alone would be a false alarm
    weak = choose(["strong", "weak"], logits, targets, logits[:50] - 20, FinetuneSettings()).labels["weak"]
    assert weak.beside is not None
    assert weak.beside < weak.flag
