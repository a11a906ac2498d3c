"""The learning curve: how good a model is after so many labels, and what more would bring."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from feedback.evaluation.baselines import train_tfidf
from feedback.evaluation.suite import SystemReport, measure
from feedback.evaluation.systems import System
from feedback.labelled import LabelledTurn

SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Scores of one system that learnt from `violations` violating of `messages` labelled messages."""

    system: str
    messages: int
    violations: int
    report: SystemReport


Train = Callable[[Sequence[LabelledTurn]], System]
"""Makes a system of labelled turns; slow for a network, quick for TF-IDF."""


def part_of(rows: Sequence[LabelledTurn], share: float) -> list[LabelledTurn]:
    """
    Whole conversations, about `share` of them, chosen by a hash of their id.

    A smaller part lies within every larger one.
    """
    limit = share * 2**32
    return [row for row in rows if _place(row.turn.message.conversation_id) < limit]


def _place(conversation_id: str) -> int:
    return int(sha256(f"curve:{conversation_id}".encode()).hexdigest()[:8], 16)


def learning_curve(
    trainers: dict[str, Train],
    train: Sequence[LabelledTurn],
    labelled: Sequence[LabelledTurn],
    innocent: dict[str, list[LabelledTurn]],
    labels: Sequence[str],
    *,
    shares: Sequence[float] = SHARES,
    say: Callable[[str], None] = lambda text: None,
) -> list[CurvePoint]:
    """
    Train each system on growing parts of `train` and measure it on `labelled` and `innocent`.

    A part without any violation is left out.
    """
    points = []
    for share in shares:
        rows = part_of(train, share)
        violations = sum(bool(row.labels) for row in rows)
        if not violations:
            continue
        for name, trainer in trainers.items():
            say(f"learning curve: {name} on {len(rows)} messages, {violations} of them violating")
            system = trainer(rows)
            report = measure([system], labelled, innocent, {}, labels)[system.name]
            points.append(CurvePoint(name, len(rows), violations, report))
            say(f"learning curve: {name}: {report.in_short}")
    return points


def tfidf_trainer(
    dev: Sequence[LabelledTurn], innocent: Sequence[LabelledTurn], labels: Sequence[str]
) -> Train:
    """The TF-IDF baseline, at its quiet point where there is innocent text to set it on."""

    def train(rows: Sequence[LabelledTurn]) -> System:
        return train_tfidf(rows, dev, innocent, labels)[-1]

    return train
