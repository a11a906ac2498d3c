"""Gives a model a second reader: another trained model that it asks where it is not sure (`detectors.second_reader`)."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.classifier import MODEL_FILE
from detectors.decision import any_violation
from detectors.graph import Graph
from detectors.manifest import InputShape, Manifest, SecondReading, listed_file, read_manifest
from detectors.second_reader import SecondReader, read_second
from detectors.tokeniser_file import read_tokeniser
from detectors.tokens import InputLimits, Tokeniser, Window, same_characters
from feedback.training.errors import TrainingError
from feedback.training.ranking import average_precision, worth

Logits = npt.NDArray[np.float64]
# How much of the second reader's logits is tried in these steps.
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that can be a second reader; `int8` is what eight bits cost its graph, as its own training found."""

    graph: Graph
    file: Path
    version: str
    int8: Mapping[str, float] | None = None


def load_candidate(
    folder: Path, labels: Sequence[str], vocabulary: Tokeniser, limits: InputLimits
) -> Candidate:
    """
    A trained model folder that reads the same windows and knows the same labels.

    Raises TrainingError where it does not.
    """
    manifest = read_manifest(folder)
    reason = _unfit(folder, manifest, labels, vocabulary, limits)
    if reason:
        raise TrainingError(f"{folder} cannot be a second reader: {reason}")
    file = listed_file(folder, manifest, MODEL_FILE)
    return Candidate(Graph(file), file, manifest.version, manifest.scores.get("int8"))


def kept_from(
    folder: Path,
    labels: Sequence[str],
    vocabulary: Tokeniser,
    limits: InputLimits,
    *,
    say: Callable[[str], None],
) -> Candidate | None:
    """The second reader of a model, for the one that takes its place; None, and said, where it does not fit that."""
    manifest = read_manifest(folder)
    second = read_second(folder, manifest)
    if second is None:
        return None
    reason = _unfit(folder, manifest, labels, vocabulary, limits)
    if reason:
        say(f"the second reader of model {manifest.version} is left behind: {reason}")
        return None
    return Candidate(second.graph, second.file, second.terms.version, int8_of_second(manifest))


def int8_of_second(manifest: Manifest) -> Mapping[str, float] | None:
    """What eight bits cost the second reader of a model; None where its training did not tell."""
    found: Mapping[str, float] | None = manifest.scores.get("second_reader", {}).get("int8")
    return found


def _unfit(
    folder: Path, manifest: Manifest, labels: Sequence[str], vocabulary: Tokeniser, limits: InputLimits
) -> str | None:
    """Why a model's windows and logits are not those of another; None where they are."""
    if manifest.labels != list(labels):
        return "it knows other labels than the catalogue; train it anew with this one"
    if not same_characters(read_tokeniser(folder, manifest), vocabulary):
        return (
            "it has another vocabulary; make its base with 'redline import-encoder --vocabulary' "
            "from the vocabulary.txt of the model that shall ask it"
        )
    if manifest.input != InputShape.of(limits):
        return f"it reads other lengths ({manifest.input}); train it with the same limits"
    return None


def fit_second(
    candidate: Candidate, items: Sequence[Window], first: Logits, targets: Logits, *, kept: float
) -> SecondReader:
    """
    When to ask the second reader and how much it counts, from development windows.

    `first` has the first encoder's logits of `items`. Asked is from the point on that leaves the
    share `kept` of the violations to it; its share is the one under which both together then rank
    best (`ranking.worth`). Raises TrainingError where the first ranks better without it.
    """
    if not targets.any():
        raise TrainingError("the development part has no violation: nothing says when to ask a second reader")
    second = read_windows(candidate.graph, items)
    terms = SecondReading(
        version=candidate.version, reads_from=_reads_from(first, targets, kept), share=SHARES[0]
    )
    asked = SecondReader(candidate.graph, candidate.file, terms).asked(first)[:, None]

    def together(share: float) -> float:
        return worth(np.where(asked, first + share * (second - first), first), targets)

    share = max(SHARES, key=together)
    if together(share) < worth(first, targets):
        raise TrainingError(
            f"model {candidate.version} is no help as a second reader: the development turns are ranked "
            "better without it; train it longer, or leave out --second"
        )
    return SecondReader(candidate.graph, candidate.file, terms.model_copy(update={"share": share}))


def asked_anew(second: SecondReader, first: Logits, targets: Logits, *, kept: float) -> SecondReader:
    """The same second reader for a first encoder that was trained on: its scores have moved, and with them when to ask."""
    if not targets.any():
        return second
    reads_from = _reads_from(first, targets, kept)
    return SecondReader(second.graph, second.file, second.terms.model_copy(update={"reads_from": reads_from}))


def _reads_from(first: Logits, targets: Logits, kept: float) -> float:
    return float(np.quantile(violation_chance(first)[targets.any(axis=1)], 1 - kept, method="lower"))


def with_second(second: SecondReader | None, items: Sequence[Window], first: Logits) -> Logits:
    """The first encoder's logits of windows, joined by the second reader's as in service."""
    if second is None:
        return first
    joined = first.copy()
    rows = np.flatnonzero(second.asked(first))
    if rows.size:
        read = read_windows(second.graph, [items[row] for row in rows.tolist()])
        joined[rows] += second.terms.share * (read - joined[rows])
    return joined


def read_windows(graph: Graph, items: Sequence[Window]) -> Logits:
    """Logits of windows, each read by itself, on all cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return np.stack(list(pool.map(lambda item: graph.read(item).logits, items))).astype(np.float64)


def what_it_brings(second: SecondReader, alone: Logits, joined: Logits, targets: Logits) -> dict[str, float]:
    """Figures for the manifest: how many development windows it is asked about, and how well both then rank them."""
    violating = targets.max(axis=1)
    return {
        "windows": len(alone),
        "asked": int(second.asked(alone).sum()),
        "average_precision_alone": round(average_precision(violation_chance(alone), violating), 4),
        "average_precision": round(average_precision(violation_chance(joined), violating), 4),
    }


def violation_chance(logits: Logits) -> npt.NDArray[np.float32]:
    """Of any violation, for each row of logits, before calibration."""
    return any_violation((1 / (1 + np.exp(-logits))).astype(np.float32))
