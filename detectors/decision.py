"""From probabilities to labels: the one place where a score becomes a flag, in training and in serving."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.manifest import Manifest

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Labels:
    """Columns that are flagged, and columns on which a person should look."""

    flagged: tuple[int, ...] = ()
    doubtful: tuple[int, ...] = ()


def any_violation(probabilities: Floats) -> Floats:
    """Probability that at least one label applies, over the last axis, labels taken as independent."""
    return np.asarray(1 - np.prod(1 - probabilities, axis=-1), dtype=np.float32)


class DecisionPoints:
    """
    The thresholds of a manifest.

    A label is flagged at its own threshold. Where none is, but together the labels
    make a violation likely, the likeliest one stands for it: several weak signs that
    a message crosses *some* line are as good as one strong sign. In a flagged message
    further labels are found at a lower point, `beside`.
    """

    def __init__(self, manifest: Manifest) -> None:
        points = [manifest.thresholds[label] for label in manifest.labels]
        self._flag = np.array([point.flag for point in points], dtype=np.float32)
        self._doubt = np.array([point.doubt for point in points], dtype=np.float32)
        self._beside = np.array(
            [point.flag if point.beside is None else point.beside for point in points], dtype=np.float32
        )
        self._any_flag = manifest.any_violation.flag
        self._any_doubt = manifest.any_violation.doubt
        self._denies_below = manifest.denies_below

    def decide(self, probabilities: Floats) -> Labels:
        """Labels of one message from its calibrated probabilities, one per label."""
        together = float(any_violation(probabilities))
        flagged = _columns(probabilities >= self._flag)
        if not flagged and together >= self._any_flag:
            flagged = (int(probabilities.argmax()),)
        if flagged:
            flagged = tuple(sorted({*flagged, *_columns(probabilities >= self._beside)}))
        doubtful = _columns(probabilities >= self._doubt)
        if not doubtful and together >= self._any_doubt:
            doubtful = (int(probabilities.argmax()),)
        return Labels(flagged, tuple(column for column in doubtful if column not in flagged))

    def denies(self, probabilities: Floats | None) -> bool:
        """Whether the model takes any violation for next to impossible; None is a turn that the first stage settled."""
        if probabilities is None:
            return self._denies_below > 0
        return float(any_violation(probabilities)) < self._denies_below


def _columns(mask: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(column) for column in np.flatnonzero(mask))
