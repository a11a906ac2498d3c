"""What a finished model folder is checked for beyond its scores: calibration, evidence, and what int8 costs."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from detectors.classifier import OnnxClassifier
from detectors.decision import DecisionPoints
from feedback.dataset import Snapshot
from feedback.evaluation.calibrated import check_model
from feedback.evaluation.metrics import Judgement, evaluate
from feedback.evaluation.reliability import Reliability
from feedback.training.examples import judged, make_examples
from feedback.training.finetune import logits_of
from feedback.training.heads import TurnClassifier
from feedback.training.scoring import open_model
from feedback.training.second_reader import with_second


def check_folder(folder: Path, model: TurnClassifier, snapshot: Snapshot) -> dict[str, Any]:
    """
    Figures for the manifest: `calibration`, `evidence` and `first_stage` on the test part, `int8` on the development part.

    `evidence` says how far a label's probability falls without its evidence, and without
    as many other characters. A figure that cannot be had is left out.
    """
    classifier = open_model(folder)
    found: dict[str, Any] = {}
    check = check_model(classifier, snapshot.test or snapshot.dev)
    if check is not None:
        found["calibration"] = {
            "any_violation": {
                **_reliability(check.any_violation),
                "bins": [
                    {key: round(value, 4) for key, value in asdict(item).items()}
                    for item in check.any_violation.bins
                ],
            },
            "labels": {label: _reliability(item) for label, item in check.labels.items()},
        }
        if check.evidence is not None:
            found["evidence"] = {key: round(value, 4) for key, value in asdict(check.evidence).items()}
    if check is not None and check.first_stage is not None:
        found["first_stage"] = asdict(check.first_stage)
    loss = int8_loss(classifier, model, snapshot)
    if loss:
        found["int8"] = loss
    return found


def _reliability(item: Reliability) -> dict[str, float | None]:
    figures = {"ece": item.ece, "ece_raised": item.ece_raised, "brier": item.brier}
    return {key: round(value, 4) if math.isfinite(value) else None for key, value in figures.items()}


def int8_loss(classifier: OnnxClassifier, model: TurnClassifier, snapshot: Snapshot) -> dict[str, float]:
    """
    The served graph beside the network in full precision, on development messages of one window each.

    A second reader is the same graph on both sides: what eight bits cost it, its own training tells
    (`second_reader.int8` of the scores).
    """
    rows = judged(snapshot.dev)
    examples = [
        make_examples([row], classifier.manifest.labels, classifier.vocabulary, classifier.limits)
        for row in rows
    ]
    single = [(row, found[0]) for row, found in zip(rows, examples, strict=True) if len(found) == 1]
    if not single:
        return {}
    points = DecisionPoints(classifier.manifest)
    labels = classifier.manifest.labels
    scale = np.array([classifier.manifest.thresholds[label].scale for label in labels])
    shift = np.array([classifier.manifest.thresholds[label].shift for label in labels])
    items = [example.item for _, example in single]
    logits = with_second(classifier.second, items, logits_of(model, items).astype(np.float64))
    logits += classifier.beside([row.turn for row, _ in single])
    whole = (1 / (1 + np.exp(-np.clip(logits * scale + shift, -60, 60)))).astype(np.float32)
    served = np.stack([reading.probabilities for reading in classifier.read([row.turn for row, _ in single])])
    flagged = [[points.decide(row).flagged for row in values] for values in (whole, served)]
    f1 = [
        evaluate(
            [
                Judgement(row.turn.message.conversation_id, row.labels, frozenset(labels[i] for i in columns))
                for (row, _), columns in zip(single, found, strict=True)
            ],
            labels,
        ).any_violation.f1.value
        for found in flagged
    ]
    same = np.mean([a == b for a, b in zip(*flagged, strict=True)])
    figures = {
        "messages": len(single),
        "mean_difference": float(np.abs(whole - served).mean()),
        "same_labels": float(same),
        "f1_full_precision": f1[0],
        "f1_int8": f1[1],
    }
    return {key: round(value, 4) for key, value in figures.items() if math.isfinite(value)}
