"""Rates and what they mean at a desk: intervals for rare events, precision at a base rate, alerts per true case."""

import math
from dataclasses import dataclass

from feedback.evaluation.metrics import Estimate

Z_95 = 1.959964
BASE_RATES = (0.01, 0.001)


def wilson(hits: int, total: int, *, factor: float = 1.0) -> Estimate:
    """
    A share with its 95 % Wilson interval, times `factor`.

    For rare events: where nothing was seen a bootstrap says [0, 0], this one how much may
    still be there. NaN where nothing was counted.
    """
    if not total:
        return Estimate(math.nan, math.nan, math.nan)
    share, z2 = hits / total, Z_95 * Z_95
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == total else centre + half
    return Estimate(factor * share, factor * low, factor * high)


@dataclass(frozen=True, slots=True)
class AtBaseRate:
    """
    What a flag is worth where `base_rate` of all messages violate.

    `precision` is of the measured rates; its bounds take the worst (best) end of both
    intervals. `alerts_per_case` is how many flags a reviewer reads for one true case.
    """

    base_rate: float
    precision: Estimate
    alerts_per_case: float


def at_base_rate(recall: Estimate, false_flag_rate: Estimate, base_rate: float) -> AtBaseRate:
    """Bayes over the measured recall and share of innocent messages flagged, both 0–1."""
    precision = Estimate(
        _precision(recall.value, false_flag_rate.value, base_rate),
        _precision(recall.low, false_flag_rate.high, base_rate),
        _precision(recall.high, false_flag_rate.low, base_rate),
    )
    alerts = 1 / precision.value if precision.value > 0 else math.inf
    return AtBaseRate(base_rate, precision, alerts)


def _precision(recall: float, false_flags: float, base_rate: float) -> float:
    true, false = recall * base_rate, false_flags * (1 - base_rate)
    return true / (true + false) if true + false > 0 else math.nan
