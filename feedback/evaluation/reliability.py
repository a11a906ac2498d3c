"""Does 0.8 mean eight in ten? Reliability diagram and expected calibration error."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]  # any precision

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions between `low` and `high`: how many, their mean, and how often they came true."""

    low: float
    high: float
    count: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """
    `ece` is the mean gap between prediction and outcome, weighted by the number of predictions.

    On rare labels nearly all predictions are near zero and `ece` is small by itself;
    `ece_raised` weighs only predictions of at least 0.1, NaN where there are none.
    `brier` is the mean squared error.
    """

    ece: float
    ece_raised: float
    brier: float
    bins: tuple[Bin, ...]


def reliability(predicted: Floats, observed: Floats, *, bins: int = BINS) -> Reliability:
    """
    Compare probabilities with outcomes (0 or 1), in bins of equal width.

    Raises ValueError when there is nothing to compare.
    """
    if not predicted.size:
        msg = "no predictions to compare"
        raise ValueError(msg)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.digitize(predicted, edges[1:-1]), 0, bins - 1)
    found = tuple(
        Bin(
            float(edges[index]),
            float(edges[index + 1]),
            int((place == index).sum()),
            float(predicted[place == index].mean()),
            float(observed[place == index].mean()),
        )
        for index in range(bins)
        if (place == index).any()
    )
    return Reliability(
        ece=_gap(found),
        ece_raised=_gap([item for item in found if item.low >= 0.1 - 1e-9]),
        brier=float(np.mean((predicted - observed) ** 2)),
        bins=found,
    )


def _gap(bins: "list[Bin] | tuple[Bin, ...]") -> float:
    total = sum(item.count for item in bins)
    if not total:
        return float("nan")
    return sum(item.count * abs(item.predicted - item.observed) for item in bins) / total
