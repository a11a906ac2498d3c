"""How well scores rank development turns, whatever the thresholds."""

from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.decision import any_violation

Floats = npt.NDArray[np.float64]


def average_precision(scores: npt.NDArray[np.floating[Any]], targets: Floats) -> float:
    """Precision at each positive, from the highest score down, on average over the positives."""
    hits = targets[np.argsort(-scores, kind="stable")] > 0
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def worth(logits: Floats, targets: Floats) -> float:
    """
    Average precision of any violation, plus the mean one of the labels that occur.

    Both arrays have a row per turn and a column per label; at least one turn must violate.
    """
    chances = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    single = [
        average_precision(logits[:, column], targets[:, column])
        for column in range(targets.shape[1])
        if targets[:, column].any()
    ]
    overall = average_precision(any_violation(chances.astype(np.float32)), targets.max(axis=1))
    return overall + sum(single) / len(single)
