"""How well a model's probabilities fit, and whether its evidence is what it decides by, on labelled turns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.classifier import OnnxClassifier
from detectors.decision import any_violation
from feedback.evaluation.faithfulness import Faithfulness, faithfulness
from feedback.evaluation.reliability import Reliability, reliability
from feedback.evaluation.systems import asked
from feedback.labelled import LabelledTurn

MOST_FAITHFULNESS_TURNS = 200


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """Reliability of any violation and of each label, and the faithfulness of the evidence."""

    any_violation: Reliability
    labels: dict[str, Reliability]
    evidence: Faithfulness | None


def check_model(classifier: OnnxClassifier, labelled: Sequence[LabelledTurn]) -> ModelCheck | None:
    """Read the turns that count with the classifier; None where there is none."""
    rows = [row for row in asked(labelled) if row.turn.message.text.strip()]
    if not rows:
        return None
    readings = classifier.read([row.turn for row in rows])
    predicted = np.stack([reading.probabilities for reading in readings])
    names = classifier.manifest.labels
    observed = np.array([[label in row.labels for label in names] for row in rows], dtype=np.float32)
    violating = [row.turn for row in rows if row.labels][:MOST_FAITHFULNESS_TURNS]
    return ModelCheck(
        reliability(any_violation(predicted), observed.max(axis=1)),
        {label: reliability(predicted[:, column], observed[:, column]) for column, label in enumerate(names)},
        faithfulness(classifier, violating),
    )
