"""What a second reader learns most from: the turns that the model which will ask it is not sure of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.tokens import Window
from feedback.training.examples import Example
from feedback.training.second_reader import Candidate, read_windows, violation_chance

SURE_BELOW = 0.02
"""A compliant turn to which the asking model gives less than this of any violation is one that it is sure of."""


@dataclass(frozen=True, slots=True)
class Selection:
    """
    `sure` says of each corpus window whether the asking model settles it rightly by itself;
    `innocent` are the numbers of the innocent windows, those that it finds worst first.
    """

    sure: npt.NDArray[np.bool_]
    innocent: Sequence[int]


def select_for(asking: Candidate, corpus: Sequence[Example], innocent: Sequence[Example]) -> Selection:
    """Read all windows with the asking model's first encoder."""
    violating = np.array([bool(example.targets.any()) for example in corpus])
    sure = ~violating & (_chances(asking, [example.item for example in corpus]) < SURE_BELOW)
    worst = np.argsort(-_chances(asking, [example.item for example in innocent]), kind="stable")
    return Selection(sure, worst.tolist())


def _chances(asking: Candidate, items: Sequence[Window]) -> npt.NDArray[np.float32]:
    return violation_chance(read_windows(asking.graph, items)) if items else np.zeros(0, dtype=np.float32)
