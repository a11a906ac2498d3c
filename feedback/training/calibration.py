"""Fits the probabilities of each label to how often it really applies."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# A label with fewer positives in the development part keeps the scale that all labels share.
LEAST_POSITIVES = 12
FACTORS = np.geomspace(0.25, 4, 33)
SHIFTS = np.linspace(-3, 3, 49)
# The prior weighs as much as this many messages: few positives must not bend the curve much.
PRIOR_MESSAGES = 12.0


def calibrate_labels(logits: Floats, targets: Floats, shared_scale: float) -> list[tuple[float, float]]:
    """
    Scale and shift per label, so that `sigmoid(scale * logit + shift)` is a probability (Platt).

    Drawn towards the shared scale and no shift. `logits` and `targets` have a column per label.
    """
    return [
        _fit(logits[:, column], targets[:, column], shared_scale)
        if targets[:, column].sum() >= LEAST_POSITIVES
        else (round(shared_scale, 4), 0.0)
        for column in range(targets.shape[1])
    ]


def _fit(logits: Floats, targets: Floats, shared: float) -> tuple[float, float]:
    best, chosen = np.inf, (shared, 0.0)
    for factor in FACTORS:
        scaled = logits[None, :] * (shared * factor) + SHIFTS[:, None]
        loss = (np.logaddexp(0, scaled) - targets * scaled).sum(axis=1)
        loss = loss + PRIOR_MESSAGES * (np.log(factor) ** 2 + (SHIFTS / 3) ** 2)
        index = int(loss.argmin())
        if loss[index] < best:
            best, chosen = float(loss[index]), (float(shared * factor), float(SHIFTS[index]))
    return round(chosen[0], 4), round(chosen[1], 4)


def probabilities(logits: Floats, points: list[tuple[float, float]]) -> npt.NDArray[np.floating[Any]]:
    """Calibrated probabilities, a column per label."""
    scales, shifts = (np.array(values) for values in zip(*points, strict=True))
    return np.asarray(1 / (1 + np.exp(-np.clip(logits * scales + shifts, -60, 60))))
