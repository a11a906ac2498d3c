"""Gives a model a second reader: another trained model that it asks where it is not sure (`detectors.second_reader`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.classifier import MODEL_FILE
from detectors.decision import any_violation
from detectors.graph import Graph
from detectors.manifest import InputShape, SecondReading, read_manifest
from detectors.second_reader import SecondReader, read_second
from detectors.tokeniser_file import read_tokeniser
from detectors.tokens import InputLimits, Tokeniser, Vocabulary, Window
from feedback.training.errors import TrainingError
from feedback.training.ranking import average_precision, worth

Logits = npt.NDArray[np.float64]
# How much of the second reader's logits is tried in these steps.
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that can be a second reader."""

    graph: Graph
    file: Path
    version: str


def load_candidate(
    folder: Path, labels: Sequence[str], vocabulary: Tokeniser, limits: InputLimits
) -> Candidate:
    """
    A trained model folder that reads the same windows and knows the same labels.

    Raises TrainingError where it does not.
    """
    manifest = read_manifest(folder)
    if manifest.labels != list(labels):
        raise TrainingError(f"{folder} knows other labels than the catalogue and cannot be a second reader")
    theirs = read_tokeniser(folder, manifest)
    if not same_vocabulary(theirs, vocabulary):
        raise TrainingError(
            f"{folder} has another vocabulary and cannot be a second reader; "
            "make its base with 'redline import-encoder --vocabulary' from this model's vocabulary.txt"
        )
    if manifest.input != InputShape.of(limits):
        raise TrainingError(
            f"{folder} reads other lengths ({manifest.input}) and cannot be a second reader; train it with the same limits"
        )
    return Candidate(Graph(folder / MODEL_FILE), folder / MODEL_FILE, manifest.version)


def kept_from(folder: Path, vocabulary: Tokeniser, limits: InputLimits) -> Candidate | None:
    """The second reader of a model, for the one that takes its place; None where it has none that reads as the new one does."""
    manifest = read_manifest(folder)
    second = read_second(folder, manifest)
    if second is None or not same_vocabulary(read_tokeniser(folder, manifest), vocabulary):
        return None
    if manifest.input != InputShape.of(limits):
        return None
    return Candidate(second.graph, second.file, second.terms.version)


def same_vocabulary(one: Tokeniser, other: Tokeniser) -> bool:
    """Whether both give a text the same ids, for our own vocabularies; False for any other tokeniser."""
    if not (isinstance(one, Vocabulary) and isinstance(other, Vocabulary)):
        return False
    return one.characters == other.characters


def fit_second(
    candidate: Candidate, items: Sequence[Window], first: Logits, targets: Logits, *, kept: float
) -> SecondReader:
    """
    When to ask the second reader and how much it counts, from development windows.

    `first` has the first encoder's logits of `items`. The share is the one under which both together
    rank best (`ranking.worth`); asked is from the point on that leaves the share `kept` of the
    violations to it.
    """
    if not targets.any():
        raise TrainingError("the development part has no violation: nothing says when to ask a second reader")
    second = np.stack([candidate.graph.read(item).logits for item in items]).astype(np.float64)
    share = max(SHARES, key=lambda each: worth(first + each * (second - first), targets))
    reads_from = float(np.quantile(_any(first)[targets.any(axis=1)], 1 - kept, method="lower"))
    terms = SecondReading(version=candidate.version, reads_from=round(reads_from, 5), share=share)
    return SecondReader(candidate.graph, candidate.file, terms)


def with_second(second: SecondReader | None, items: Sequence[Window], first: Logits) -> Logits:
    """The first encoder's logits of windows, joined by the second reader's as in service."""
    if second is None:
        return first
    joined = first.copy()
    for row in np.flatnonzero(second.asked(first)).tolist():
        joined[row] += second.terms.share * (second.graph.read(items[row]).logits - joined[row])
    return joined


def what_it_brings(second: SecondReader, alone: Logits, joined: Logits, targets: Logits) -> dict[str, float]:
    """Figures for the manifest: how many development windows it is asked about, and how well both then rank them."""
    violating = targets.max(axis=1)
    return {
        "windows": len(alone),
        "asked": int(second.asked(alone).sum()),
        "average_precision_alone": round(average_precision(_any(alone), violating), 4),
        "average_precision": round(average_precision(_any(joined), violating), 4),
    }


def _any(logits: Logits) -> npt.NDArray[np.float32]:
    return any_violation((1 / (1 + np.exp(-logits))).astype(np.float32))
