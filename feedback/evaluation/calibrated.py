"""How well a model's probabilities fit, and whether its evidence is what it decides by, on labelled turns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.classifier import OnnxClassifier
from detectors.decision import DecisionPoints, any_violation
from feedback.evaluation.faithfulness import Faithfulness, faithfulness
from feedback.evaluation.reliability import Reliability, reliability
from feedback.evaluation.systems import asked
from feedback.labelled import LabelledTurn

MOST_FAITHFULNESS_TURNS = 200


@dataclass(frozen=True, slots=True)
class FirstStageCheck:
    """
    Of `messages` the first stage settles `settled`.

    Of the `reported` violations, flagged or doubtful if they are read, it loses `lost`.
    """

    messages: int
    settled: int
    reported: int
    lost: int


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """
    Reliability of any violation and of each label, the faithfulness of the evidence, what the first stage spares.

    Probabilities are those of a reading, also for what the first stage settles.
    """

    any_violation: Reliability
    labels: dict[str, Reliability]
    evidence: Faithfulness | None
    first_stage: FirstStageCheck | None = None


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
        _check_first_stage(classifier, rows, predicted),
    )


def _check_first_stage(
    classifier: OnnxClassifier, rows: Sequence[LabelledTurn], predicted: npt.NDArray[np.float32]
) -> FirstStageCheck | None:
    if classifier.first_stage is None:
        return None
    points = DecisionPoints(classifier.manifest)
    read = set(classifier.to_read([row.turn for row in rows]))
    decided = [points.decide(probabilities) for probabilities in predicted]
    reported = [i for i, found in enumerate(decided) if rows[i].labels and (found.flagged or found.doubtful)]
    return FirstStageCheck(
        len(rows), len(rows) - len(read), len(reported), sum(number not in read for number in reported)
    )
