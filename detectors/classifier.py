"""The fine-tuned classifier: ONNX Runtime on a CPU, with the span that carried each label."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.base import Opinion
from detectors.decision import DecisionPoints
from detectors.domain import Evidence, Finding, Severity, Source, Speaker, Turn
from detectors.errors import ModelError
from detectors.first_stage import FirstStage, beside, read_first_stage
from detectors.graph import Graph, WindowReading
from detectors.manifest import Manifest, listed_file, read_manifest
from detectors.second_reader import SecondReader, read_second
from detectors.space import EncoderSpace, read_space
from detectors.tokeniser_file import read_tokeniser
from detectors.tokens import InputLimits, Window, windows
from rules.catalogue import Catalogue
from rules.text import NormalisedText

MODEL_FILE = "model.onnx"
# Stands behind the version of a model that is kept from denying: it judges otherwise than the same model without.
NEVER_DENIES = ";may_deny=false"
# A character belongs to the evidence when it says at least this share of the strongest one.
EVIDENCE_SHARE = 0.5
LONGEST_GAP = 2
# More than a batch: the detectors of a cascade ask about the same turns one after another.
MOST_LOOKS = 512

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What the network says of one turn.

    `probabilities` per label, calibrated. `saliency` has a row per normalised
    character and a column per label: how much that character speaks for it. `places`
    has a row per window: where it stands in the encoder's space; no rows for a model
    that was exported without.
    """

    text: NormalisedText
    probabilities: Floats
    saliency: Floats
    places: Floats


class OnnxClassifier:
    """
    Reads turns with an exported encoder, and what that is not sure of with a second one, where the model has it.

    `threads` windows are read at the same time, each on one core: what is said of a
    turn does not depend on their number. Raises ModelError when the folder cannot be
    trusted or does not load.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self.manifest: Manifest = read_manifest(folder)
        self.vocabulary = read_tokeniser(folder, self.manifest)
        self.limits = InputLimits(**self.manifest.input.model_dump())
        self._graph = Graph(listed_file(folder, self.manifest, MODEL_FILE))
        self.second: SecondReader | None = read_second(folder, self.manifest)
        self.space: EncoderSpace | None = read_space(folder, self.manifest)
        self.first_stage: FirstStage | None = read_first_stage(folder, self.manifest)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="encoder") if threads > 1 else None
        self._latest: dict[int, tuple[Turn, Reading]] = {}
        self._looks: dict[int, tuple[FirstStage, Turn, Floats]] = {}
        thresholds = [self.manifest.thresholds[label] for label in self.manifest.labels]
        self._scale = np.array([item.scale for item in thresholds], dtype=np.float32)
        self._shift = np.array([item.shift for item in thresholds], dtype=np.float32)

    def to_read(self, turns: Sequence[Turn]) -> list[int]:
        """
        Numbers of the turns that the encoder must read.

        Not the customers', not those without text, and not those that the first stage
        settles as clearly innocent.
        """
        stage = self.first_stage
        return [
            i
            for i in judged_turns(turns)
            if stage is None or not stage.settles(turns[i], self._look(stage, turns[i]))
        ]

    def _look(self, stage: FirstStage, turn: Turn) -> Floats:
        """The first stage's look, once for a turn that is asked about again."""
        known = self._looks.get(id(turn))
        if known is None or known[0] is not stage:
            if len(self._looks) >= MOST_LOOKS:
                self._looks.clear()
            known = self._looks[id(turn)] = (stage, turn, stage.look(turn))
        return known[2]

    def read(self, turns: Sequence[Turn]) -> list[Reading]:
        """
        One reading per turn, in order, whatever the first stage would say.

        The turns of the call before, as the next detector asks for them, are not read twice.
        """
        known = self._latest
        new = [turn for turn in turns if id(turn) not in known]
        fresh = {id(turn): (turn, reading) for turn, reading in zip(new, self._read(new), strict=True)}
        # Turns are kept with their readings: an id belongs to one object only while that lives.
        latest = {id(turn): known.get(id(turn)) or fresh[id(turn)] for turn in turns}
        # Not read back: another thread may place cases meanwhile.
        self._latest = latest
        return [latest[id(turn)][1] for turn in turns]

    def beside(self, turns: Sequence[Turn]) -> Floats:
        """What the first stage adds to the encoder's logits: (turns, labels)."""
        stage = self.first_stage
        if stage is None:
            return beside(None, turns, len(self.manifest.labels))
        looks = [self._look(stage, turn) for turn in turns]
        return beside(stage, turns, len(self.manifest.labels), looks)

    def _read(self, turns: Sequence[Turn]) -> list[Reading]:
        texts: list[NormalisedText] = []
        items: list[Window] = []
        owners: list[int] = []
        for index, turn in enumerate(turns):
            text, parts = windows(turn, self.vocabulary, self.limits)
            texts.append(text)
            items.extend(parts)
            owners.extend([index] * len(parts))
        outputs = self._run(items)
        count = len(self.manifest.labels)
        logits = np.full((len(turns), count), -np.inf, dtype=np.float32)
        saliency = [np.full((len(text.text), count), -np.inf, dtype=np.float32) for text in texts]
        places: list[list[Floats]] = [[] for _ in turns]
        for owner, item, found in zip(owners, items, outputs, strict=True):
            np.maximum(logits[owner], found.logits, out=logits[owner])
            item.to_characters(found.token_logits[1 : item.length + 1], saliency[owner])
            if found.place is not None:
                places[owner].append(found.place)
        logits += self.beside(turns)
        probabilities = _sigmoid(logits * self._scale + self._shift)
        return [
            Reading(text, row, _sigmoid(marks), np.array(found, dtype=np.float32))
            for text, row, marks, found in zip(texts, probabilities, saliency, places, strict=True)
        ]

    def _run(self, items: Sequence[Window]) -> list[WindowReading]:
        if self._pool is None or len(items) == 1:
            return [self._run_one(item) for item in items]
        return list(self._pool.map(self._run_one, items))

    def _run_one(self, item: Window) -> WindowReading:
        first = self._graph.read(item)
        return first if self.second is None else self.second.joined(item, first)


def _sigmoid(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float32)


class ModelDetector:
    """
    Flags turns by the classifier's calibrated thresholds.

    The first stage says which turns are read at all. A label between `doubt` and `flag` is
    uncertain: a person looks (see `detectors.decision`). With `may_deny` it says where it takes a
    violation for next to impossible, so that a rule alone does not flag there. Customers' messages
    are not judged: their words are never a violation.
    """

    name: Literal["model"] = "model"

    def __init__(self, classifier: OnnxClassifier, catalogue: Catalogue, *, may_deny: bool = True) -> None:
        unknown = [label for label in classifier.manifest.labels if label not in catalogue.labels]
        if unknown:
            raise ModelError(
                f"model {classifier.manifest.version} knows labels that the catalogue does not: {', '.join(unknown)}; "
                "retrain it with this catalogue or roll back"
            )
        self.classifier = classifier
        self.catalogue = catalogue
        self._points = DecisionPoints(classifier.manifest)
        self._may_deny = may_deny

    @property
    def version(self) -> str:
        """The model's version, as in its manifest; with `NEVER_DENIES` where it would deny and may not."""
        manifest = self.classifier.manifest
        kept = manifest.denies_below > 0 and not self._may_deny
        return manifest.version + (NEVER_DENIES if kept else "")

    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        """One opinion per turn."""
        opinions = [Opinion()] * len(turns)
        try:
            chosen = self.classifier.to_read(turns)
            readings = self.classifier.read([turns[i] for i in chosen])
        except Exception as error:  # whatever is raised, the turn must reach a person
            failed = Opinion(failure=type(error).__name__)
            for index in judged_turns(turns):
                opinions[index] = failed
            return opinions
        settled = Opinion(denies=self._may_deny and self._points.denies(None))
        for index in judged_turns(turns):
            opinions[index] = settled
        for index, reading in zip(chosen, readings, strict=True):
            opinions[index] = self._opinion(turns[index], reading)
        return opinions

    def _opinion(self, turn: Turn, reading: Reading) -> Opinion:
        if not np.isfinite(reading.probabilities).all():
            return Opinion(failure="not_a_number")
        labels = self._points.decide(reading.probabilities)
        return Opinion(
            tuple(self._finding(turn, reading, column) for column in labels.flagged),
            tuple(self._finding(turn, reading, column) for column in labels.doubtful),
            denies=self._may_deny
            and not (labels.flagged or labels.doubtful)
            and self._points.denies(reading.probabilities),
        )

    def _finding(self, turn: Turn, reading: Reading, column: int) -> Finding:
        label = self.classifier.manifest.labels[column]
        entry = self.catalogue.labels[label]
        text = turn.message.text
        spans = evidence_spans(reading.saliency[:, column])
        offsets = [reading.text.original_span(start, end) for start, end in spans]
        return Finding(
            label=label,
            severity=Severity(entry.severity),
            score=round(float(reading.probabilities[column]), 4),
            sources=(Source("model", self.classifier.manifest.name, self.classifier.manifest.version),),
            evidence=tuple(Evidence(start, end, text[start:end]) for start, end in offsets),
            traits=tuple(entry.traits),
            basis=tuple(entry.basis),
        )


def unread_labels(manifest: Manifest, catalogue: Catalogue) -> list[str]:
    """Labels of the catalogue that a model was not trained for: it never finds them."""
    return [label for label in catalogue.labels if label not in manifest.labels]


def judged_turns(turns: Sequence[Turn]) -> list[int]:
    """Numbers of the turns on which there is something to say: the firm's, with text."""
    return [
        i
        for i, turn in enumerate(turns)
        if turn.message.speaker is not Speaker.CUSTOMER and turn.message.text.strip()
    ]


def evidence_spans(saliency: Floats) -> list[tuple[int, int]]:
    """
    The stretch around the strongest character, and others as strong.

    Every text with a character gives at least one span.
    """
    if saliency.size == 0:
        return []
    strong = np.flatnonzero(saliency >= EVIDENCE_SHARE * saliency.max())
    spans: list[tuple[int, int]] = []
    for position in (int(value) for value in strong):
        if spans and position - spans[-1][1] <= LONGEST_GAP:
            spans[-1] = (spans[-1][0], position + 1)
        else:
            spans.append((position, position + 1))
    return spans
