"""Case memory: what people decided works at once, as nearest neighbours in the encoder's space."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.base import Opinion
from detectors.case_file import CaseFile, RememberedCase
from detectors.classifier import OnnxClassifier, Reading, evidence_spans, judged_turns
from detectors.domain import Evidence, Finding, Message, Severity, Source, Turn
from detectors.errors import CaseMemoryError
from detectors.explanation import explain_likeness
from detectors.likeness import SharedPairs
from detectors.space import EncoderSpace
from detectors.tokens import windows
from rules.catalogue import Catalogue
from rules.text import normalise

Floats = npt.NDArray[np.float32]

# Shorter messages take their meaning from what was said before: they are compared with it only.
LEAST_ALONE = 8
_AT = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Match:
    """A case that a turn is like, and how like: a cosine, at least the case's own reach."""

    case: RememberedCase
    similarity: float


@dataclass(frozen=True, slots=True)
class _Known:
    """A case with its places: read in its context, and alone."""

    case: RememberedCase
    units: Floats
    reach: Floats


@dataclass(frozen=True, slots=True)
class CaseMemory:
    """
    The cases of a file, placed by one classifier. Exact search: at most `MOST_CASES` rows.

    A turn is like a case when both stand near each other in their contexts; or, where they
    share enough of their words, near each other read alone, so that a text that was
    confirmed once is known again in any conversation.
    """

    version: str
    known: tuple[_Known, ...]
    _matrices: tuple[Floats, Floats] = field(repr=False)
    _pairs: SharedPairs = field(repr=False)

    @classmethod
    def build(
        cls, file: CaseFile, classifier: OnnxClassifier, *, earlier: "CaseMemory | None" = None
    ) -> "CaseMemory":
        """
        Place every case; those that `earlier` has (of the same classifier) are not read again.

        Raises CaseMemoryError for a model that was made without a space.
        """
        space = classifier.space
        if space is None:
            raise CaseMemoryError(
                f"model {classifier.manifest.version} was made without a space for the case memory; train it again"
            )
        placed: Mapping[RememberedCase, _Known] = (
            {item.case: item for item in earlier.known} if earlier is not None else {}
        )
        known = tuple(placed.get(case) or _place(case, classifier, space) for case in file.cases)
        size = space.centre.shape[0]
        rows = np.array([item.units for item in known], dtype=np.float32).reshape(len(known), 2, size)
        texts = [normalise(item.case.said[-1][1]).text for item in known]
        return cls(file.version, known, (rows[:, 0], rows[:, 1]), SharedPairs(texts))

    def shares_words(self, turn: Turn) -> bool:
        """Whether a turn has words of a case: then it is read, even if the first stage would settle it."""
        return len(self._pairs.like(normalise(turn.message.text).text)) > 0

    def matches(
        self, turns: Sequence[Turn], readings: Sequence[Reading], classifier: OnnxClassifier
    ) -> list[list[Match]]:
        """For each turn the cases that it is like, the nearest first. `readings` are the classifier's of `turns`."""
        space = classifier.space
        if not self.known or space is None:
            return [[] for _ in turns]
        alike = [
            self._pairs.like(reading.text.text) if len(reading.text.text) >= LEAST_ALONE else ()
            for reading in readings
        ]
        alone = [Turn(turn.message) if turn.before else turn for turn in turns]
        asked = [i for i, cases in enumerate(alike) if len(cases)]
        # A turn without context was read alone already.
        again = [i for i in asked if turns[i].before]
        read_alone = dict(
            zip(again, classifier.read([alone[i] for i in again]) if again else (), strict=True)
        )
        return [
            self._nearest(space.units(reading.places), i, read_alone, alike[i], readings, space)
            for i, reading in enumerate(readings)
        ]

    def _nearest(
        self,
        units: Floats,
        index: int,
        read_alone: Mapping[int, Reading],
        alike: Sequence[int] | npt.NDArray[np.int64],
        readings: Sequence[Reading],
        space: EncoderSpace,
    ) -> list[Match]:
        best: dict[int, float] = {}
        in_context = (units @ self._matrices[0].T).max(axis=0, initial=-1.0)
        for row in np.flatnonzero(in_context >= np.array([item.reach[0] for item in self.known])):
            best[int(row)] = float(in_context[row])
        if len(alike):
            chosen = np.asarray(alike)
            own = space.units(read_alone.get(index, readings[index]).places)
            alone = (own @ self._matrices[1][chosen].T).max(axis=0, initial=-1.0)
            for row, similarity in zip(chosen, alone, strict=True):
                if similarity >= self.known[int(row)].reach[1]:
                    best[int(row)] = max(best.get(int(row), -1.0), float(similarity))
        found = [Match(self.known[row].case, round(min(value, 1.0), 4)) for row, value in best.items()]
        return sorted(found, key=lambda match: (-match.similarity, match.case.case_id))


def _place(case: RememberedCase, classifier: OnnxClassifier, space: EncoderSpace) -> _Known:
    turn = case_turn(case)
    asked = [turn, Turn(turn.message)]
    readings = zip(asked, classifier.read(asked), strict=True)
    units = np.stack([space.units(_telling(turn, reading, case, classifier)) for turn, reading in readings])
    return _Known(case, units, space.reach(units))


def _telling(turn: Turn, reading: Reading, case: RememberedCase, classifier: OnnxClassifier) -> Floats:
    """Of a long message the window that holds most of the evidence: the case's, else what the model marks."""
    if len(reading.places) == 1:
        return np.asarray(reading.places[0])
    text = reading.text
    spans = [(bisect_right(text.ends, start), bisect_left(text.starts, end)) for start, end in case.evidence]
    marks = np.zeros(len(text.text), dtype=np.float32)
    for start, end in spans or evidence_spans(reading.saliency.max(axis=1)):
        marks[start:end] = 1
    _, parts = windows(turn, classifier.vocabulary, classifier.limits)
    return np.asarray(reading.places[int(np.argmax([part.to_tokens(marks).sum() for part in parts]))])


def case_turn(case: RememberedCase) -> Turn:
    """The case as the classifier reads it. Its ids and times mean nothing."""
    messages = [
        Message(f"{case.case_id}-{number}", case.case_id, _AT, speaker, text)
        for number, (speaker, text) in enumerate(case.said)
    ]
    return Turn(messages[-1], tuple(messages[:-1]))


class MemoryDetector:
    """
    Flags turns that are like a confirmed case, and says which.

    A turn that is like a dismissed case is marked as such, which lowers its place in the
    queue and hides nothing; where the dismissed case is the nearer one, what the memory
    finds is uncertain. Customers are not judged.
    """

    name: Literal["memory"] = "memory"

    def __init__(self, memory: CaseMemory, classifier: OnnxClassifier, catalogue: Catalogue) -> None:
        self.memory = memory
        self.classifier = classifier
        self.catalogue = catalogue

    @property
    def version(self) -> str:
        """Names the cases that are remembered."""
        return self.memory.version

    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        """One opinion per turn."""
        opinions = [Opinion()] * len(turns)
        chosen = judged_turns(turns)
        if not chosen or not self.memory.known:
            return opinions
        try:
            to_read = set(self.classifier.to_read(turns))
            chosen = [i for i in chosen if i in to_read or self.memory.shares_words(turns[i])]
            asked = [turns[i] for i in chosen]
            readings = self.classifier.read(asked)
            matches = self.memory.matches(asked, readings, self.classifier)
        except Exception as error:  # whatever the runtime raises, the turn must reach a person
            failed = Opinion(failure=type(error).__name__)
            for i in chosen:
                opinions[i] = failed
            return opinions
        for i, reading, found in zip(chosen, readings, matches, strict=True):
            if found:
                opinions[i] = self._opinion(turns[i], reading, found)
        return opinions

    def _opinion(self, turn: Turn, reading: Reading, found: Sequence[Match]) -> Opinion:
        dismissed = next((match for match in found if match.case.action == "dismissed"), None)
        labels: dict[str, Match] = {}
        for match in found:
            for label in match.case.labels if match.case.action == "confirmed" else ():
                if label in self.catalogue.labels:
                    labels.setdefault(label, match)
        findings = tuple(self._finding(turn, reading, label, match) for label, match in labels.items())
        like = dismissed.case.case_id if dismissed else None
        nearest = max((match.similarity for match in labels.values()), default=0.0)
        if dismissed and dismissed.similarity >= nearest:
            return Opinion(uncertain=findings, dismissed_like=like)
        return Opinion(findings, dismissed_like=like)

    def _finding(self, turn: Turn, reading: Reading, label: str, match: Match) -> Finding:
        entry = self.catalogue.labels[label]
        text = turn.message.text
        return Finding(
            label=label,
            severity=Severity(entry.severity),
            score=match.similarity,
            sources=(Source("memory", match.case.case_id, self.version),),
            evidence=tuple(
                Evidence(start, end, text[start:end]) for start, end in self._spans(reading, label)
            ),
            traits=tuple(entry.traits),
            basis=tuple(entry.basis),
            reason=explain_likeness(
                label,
                self.catalogue,
                case_id=match.case.case_id,
                similarity=match.similarity,
                decided_on=match.case.decided_at.date(),
            ),
        )

    def _spans(self, reading: Reading, label: str) -> list[tuple[int, int]]:
        names = self.classifier.manifest.labels
        if label not in names:
            return [(0, len(reading.text.original))]
        spans = evidence_spans(reading.saliency[:, names.index(label)])
        return [reading.text.original_span(start, end) for start, end in spans]
