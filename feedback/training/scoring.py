"""Scores a model folder as it would serve."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectors.classifier import OnnxClassifier
from detectors.decision import DecisionPoints
from feedback.evaluation.metrics import Evaluation, Judgement, evaluate
from feedback.labelled import LabelledTurn
from feedback.training.examples import judged


def open_model(folder: Path) -> OnnxClassifier:
    """A model folder as it would serve, on all cores: what it says is the same."""
    return OnnxClassifier(folder, threads=os.cpu_count() or 1)


def found_labels(classifier: OnnxClassifier, rows: Sequence[LabelledTurn]) -> list[frozenset[str]]:
    """
    Labels that the model flags, one set per row; none for customers and where the first stage settles it.

    They are the labels that the model was trained for, which need not be those of the catalogue.
    """
    labels = classifier.manifest.labels
    points = DecisionPoints(classifier.manifest)
    chosen = [rows[i] for i in classifier.to_read([row.turn for row in rows])]
    readings = classifier.read([row.turn for row in chosen]) if chosen else []
    found = {
        id(row): frozenset(labels[column] for column in points.decide(reading.probabilities).flagged)
        for row, reading in zip(chosen, readings, strict=True)
    }
    return [found.get(id(row), frozenset()) for row in rows]


def score_folder(folder: Path, rows: Sequence[LabelledTurn], labels: Sequence[str]) -> Evaluation:
    """Score a model folder as it would serve: quantised, with its own thresholds."""
    return evaluate(judgements(open_model(folder), rows, labels), labels)


def judgements(
    classifier: OnnxClassifier, rows: Sequence[LabelledTurn], labels: Sequence[str]
) -> list[Judgement]:
    """
    What the model alone says of the labelled turns that it is asked about: not the customers'.

    A label that is not among `labels`, because the catalogue has given it up, counts as not said.
    """
    chosen = judged(rows)
    wanted = frozenset(labels)
    return [
        Judgement(row.turn.message.conversation_id, row.labels, found & wanted, tags=row.tags)
        for row, found in zip(chosen, found_labels(classifier, chosen), strict=True)
    ]


def summary(result: Evaluation) -> dict[str, Any]:
    """The figures that a manifest keeps."""
    return {
        "messages": result.messages,
        "violating": result.violating,
        "precision": round(result.any_violation.precision.value, 4),
        "recall": round(result.any_violation.recall.value, 4),
        "f1": round(result.any_violation.f1.value, 4),
        "macro_f1": round(result.macro_f1, 4),
        "false_flags_per_1000": round(result.false_flags_per_1000.value, 2),
        "labels": {
            label: {
                "support": score.support,
                "recall": round(score.recall.value, 4),
                "f1": round(score.f1.value, 4),
            }
            for label, score in result.labels.items()
            if score.support
        },
    }


def count_flagged(folder: Path, rows: Sequence[LabelledTurn]) -> int:
    """How many of the turns a model folder flags."""
    classifier = open_model(folder)
    return sum(bool(found) for found in found_labels(classifier, rows))
