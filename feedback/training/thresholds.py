"""Calibration and decision points, chosen on data that the training did not see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.decision import any_violation
from detectors.manifest import LabelThresholds, Threshold
from feedback.training.calibration import calibrate_labels, probabilities
from feedback.training.settings import FinetuneSettings

Floats = npt.NDArray[np.float64]

LOWEST, HIGHEST = 0.05, 0.98
SCALES = np.geomspace(0.1, 10, 101)
DOUBT_SHARE = 0.5
SHIFTS = np.arange(1.0, -4.01, -0.05)


def calibrate(logits: Floats, targets: Floats) -> float:
    """The one scale for all labels under which the probabilities fit the outcomes best (temperature scaling)."""

    def loss(scale: float) -> float:
        scaled = logits * scale
        return float(np.mean(np.logaddexp(0, scaled) - targets * scaled))

    return float(min(SCALES, key=loss))


@dataclass(frozen=True, slots=True)
class Points:
    """All thresholds of a model."""

    labels: dict[str, LabelThresholds]
    any_violation: Threshold


def flagged(logits: Floats, points: Points) -> npt.NDArray[np.bool_]:
    """Which turns a model flags, on any label or on all together, from its logits and decision points."""
    items = list(points.labels.values())
    found = probabilities(logits, [(item.scale, item.shift) for item in items]).astype(np.float32)
    alone = (found >= np.array([item.flag for item in items], dtype=np.float32)).any(1)
    return np.asarray(alone | (any_violation(found) >= points.any_violation.flag))


def carried_over(points: Points, served: Floats, logits: Floats, compliant: npt.NDArray[np.bool_]) -> Points:
    """
    The decision points of a model in service, for one that was trained on from it without innocent text.

    Such training sees far more violations than life has, and lifts every score. So all
    logits are shifted by one amount: the largest under which the new model flags no
    more of the same compliant turns than the one in service, whose points were set on
    innocent text that is not here. `served` and `logits` are of the same development
    turns, before and after; `compliant` says which of them are counted, and must leave out those
    that are there because they were flagged. Without any the points stay.
    """
    if not compliant.any():
        return points
    allowed = int(flagged(served, points)[compliant].sum())
    best = points
    for shift in SHIFTS:
        best = _shifted(points, float(shift))
        if int(flagged(logits, best)[compliant].sum()) <= allowed:
            break
    return best


def _shifted(points: Points, shift: float) -> Points:
    labels = {
        label: item.model_copy(update={"shift": round(item.shift + shift, 4)})
        for label, item in points.labels.items()
    }
    return Points(labels, points.any_violation)


def choose(
    labels: Sequence[str], logits: Floats, targets: Floats, innocent: Floats, settings: FinetuneSettings
) -> Points:
    """
    Thresholds per label, and for any violation.

    `logits` and `targets` are of development turns, `innocent` logits of turns that
    cross no line. `flag` is the point of best F-beta on development turns
    (`settings.flag_beta`), raised until
    at most half of `settings.false_flag_budget` of the innocent turns is flagged: a
    label has its even share of that half, and any violation the other half. The point of any
    violation is raised further where that lifts the precision of all flags to `settings.precision_floor`.
    `doubt` likewise with `settings.doubt_budget`, and below `flag`. `beside` is a label's point of best F1
    among the development turns that are flagged, at most `flag`.
    """
    fitted = calibrate_labels(logits, targets, calibrate(logits, targets))
    # Our own compliant messages are far closer to the line than what people write all day; the
    # budget is about the latter, so the former stand in only where there is nothing else.
    quiet = probabilities(innocent if len(innocent) else logits[targets.sum(1) == 0], fitted)
    found = probabilities(logits, fitted)
    share = 2 * len(labels)
    chosen = {
        label: LabelThresholds(
            **_point(found[:, i], targets[:, i], quiet[:, i], share, settings),
            scale=fitted[i][0],
            shift=fitted[i][1],
        )
        for i, label in enumerate(labels)
    }
    together = any_violation(found.astype(np.float32)), any_violation(quiet.astype(np.float32))
    overall = Threshold(**_point(together[0], targets.max(1), together[1], 2, settings))
    flags = np.array([item.flag for item in chosen.values()], dtype=np.float32)
    alone = np.asarray((found.astype(np.float32) >= flags).any(1))
    flag = _raised(overall.flag, together[0], alone, targets.max(1), settings.precision_floor)
    marked = alone | (together[0] >= flag)
    named = {
        label: item.model_copy(update={"beside": _beside(item.flag, found[marked, i], targets[marked, i])})
        for i, (label, item) in enumerate(chosen.items())
    }
    return Points(named, overall.model_copy(update={"flag": flag}))


def _beside(flag: float, found: npt.NDArray[np.floating[Any]], targets: Floats) -> float:
    """From where on a label is named in messages that are flagged anyway; at `flag` where none of them carries it."""
    return round(min(flag, _best_point(found, targets, 1.0)), 4) if targets.any() else flag


def _raised(
    flag: float,
    together: npt.NDArray[np.floating[Any]],
    alone: npt.NDArray[np.bool_],
    targets: Floats,
    floor: float,
) -> float:
    """
    The lowest point from `flag` up under which so large a share of all flags is right; `flag` where none is.

    F-beta is nearly flat there: which of its points is best is luck, how often a flag is wrong is not.
    """
    for point in np.arange(round(flag, 2), HIGHEST + 1e-9, 0.01):
        marked = alone | (together >= point)
        if marked.any() and targets[marked].mean() >= floor:
            return float(max(flag, round(point, 4)))
    return flag


def _point(
    found: npt.NDArray[np.floating[Any]],
    targets: Floats,
    quiet: npt.NDArray[np.floating[Any]],
    share: int,
    settings: FinetuneSettings,
) -> dict[str, float]:
    best = max(
        _best_point(found, targets, settings.flag_beta), _quantile(quiet, settings.false_flag_budget / share)
    )
    flag = float(np.clip(best, LOWEST, HIGHEST))
    doubt = max(flag * DOUBT_SHARE, _quantile(quiet, settings.doubt_budget / share))
    return {"flag": round(flag, 4), "doubt": round(min(doubt, flag), 4)}


def _best_point(probabilities: npt.NDArray[np.floating[Any]], targets: Floats, beta: float) -> float:
    """The threshold of best F-beta on development turns."""
    candidates = np.linspace(LOWEST, HIGHEST, 94)
    found = probabilities[None, :] >= candidates[:, None]
    hits = (found * targets).sum(1)
    scores = (1 + beta**2) * hits / (beta**2 * targets.sum() + found.sum(1) + 1e-9)
    # Of equally good points the middle one: the edges are luck.
    best = np.flatnonzero(scores >= scores.max() - 1e-9)
    return float(candidates[best[len(best) // 2]])


def _quantile(values: npt.NDArray[np.floating[Any]], share: float) -> float:
    return float(np.quantile(values, 1 - share, method="higher"))
