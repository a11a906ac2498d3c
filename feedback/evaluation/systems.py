"""What is measured: anything that says of a turn which labels it finds. All systems read the same turns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from detectors.base import Detector, Opinion
from detectors.classifier import OnnxClassifier
from detectors.decision import DecisionPoints
from detectors.domain import Outcome, Speaker, Turn, Verdict
from feedback.labelled import LabelledTurn

BATCH = 64

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """
    Labels that a system flags; `undecided` when it asks for a person instead.

    `evidence` has the code-point spans of the message that it marks for each of them;
    None for a system that marks nothing at all.
    """

    labels: frozenset[str] = frozenset()
    undecided: bool = False
    evidence: Mapping[str, Spans] | None = None


NOTHING = Found()


class System(Protocol):
    """One column of the comparison. Customers' turns are asked too and must give nothing."""

    @property
    def name(self) -> str:
        """Short name, as printed: `cascade`, `rules`, `model`, `keywords`, `tfidf`."""

    def find(self, turns: Sequence[Turn]) -> Sequence[Found]:
        """What it finds in each turn, in order."""


class Judge(Protocol):
    """What gives verdicts."""

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        """One verdict per turn, in order."""


@dataclass(frozen=True, slots=True)
class JudgeSystem:
    """A cascade as a system."""

    name: str
    judge: Judge

    def find(self, turns: Sequence[Turn]) -> list[Found]:
        """The labels of flagged verdicts, with their evidence; an undecided verdict finds nothing."""
        return [_found(verdict) for verdict in self.judge.judge(turns)]


def _found(verdict: Verdict) -> Found:
    findings = verdict.findings if verdict.flagged else ()
    evidence = {f.label: tuple((item.start, item.end) for item in f.evidence) for f in findings}
    return Found(frozenset(evidence), verdict.outcome is Outcome.UNDECIDED, evidence)


class ModelSystem:
    """A classifier alone, by the thresholds of its manifest."""

    def __init__(self, name: str, classifier: OnnxClassifier) -> None:
        self.name = name
        self._classifier = classifier
        self._points = DecisionPoints(classifier.manifest)

    def find(self, turns: Sequence[Turn]) -> list[Found]:
        """Labels that it flags; undecided where it only doubts."""
        asked_of = self._classifier.to_read(turns)
        found = [NOTHING] * len(turns)
        names = self._classifier.manifest.labels
        for i, reading in zip(asked_of, self._classifier.read([turns[i] for i in asked_of]), strict=True):
            decided = self._points.decide(reading.probabilities)
            labels = frozenset(names[column] for column in decided.flagged)
            found[i] = Found(labels, bool(decided.doubtful) and not labels)
        return found


class SharedDetector:
    """
    A detector that several cascades ask: the same batch is judged once.

    Only the latest batch is remembered, by the identity of its turns.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._turns: Sequence[Turn] = ()
        self._opinions: Sequence[Opinion] = ()

    @property
    def name(self) -> str:
        """As the detector's."""
        return self.detector.name

    @property
    def version(self) -> str:
        """As the detector's."""
        return self.detector.version

    def detect(self, turns: Sequence[Turn]) -> Sequence[Opinion]:
        """One opinion per turn."""
        same = len(turns) == len(self._turns) and all(a is b for a, b in zip(turns, self._turns, strict=True))
        if not same:
            self._opinions = self.detector.detect(turns)
            self._turns = tuple(turns)
        return self._opinions


def asked(rows: Iterable[LabelledTurn]) -> list[LabelledTurn]:
    """The turns that count: a customer's words give context and are never a violation."""
    return [row for row in rows if row.turn.message.speaker is not Speaker.CUSTOMER]


def batches(rows: Iterable[LabelledTurn], size: int = BATCH) -> Iterator[list[LabelledTurn]]:
    """Rows in lists of at most `size`."""
    source = iter(rows)
    while part := list(islice(source, size)):
        yield part
