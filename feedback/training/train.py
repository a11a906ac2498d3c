"""From a dataset to a finished model folder."""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detectors.classifier import MODEL_FILE, OnnxClassifier
from detectors.decision import DecisionPoints
from detectors.manifest import Dataset, InputShape, Manifest, read_manifest, sha256_of, write_manifest
from detectors.space import SPACE_FILE
from detectors.tokens import InputLimits, Tokeniser, Vocabulary
from feedback.augment.expand import counted, expanded
from feedback.dataset import Snapshot
from feedback.evaluation.metrics import Evaluation, Judgement, evaluate
from feedback.labelled import LabelledTurn
from feedback.training.card import write_card
from feedback.training.checks import check_folder
from feedback.training.encoder import TurnEncoder
from feedback.training.errors import TrainingError
from feedback.training.examples import Example, judged, make_examples
from feedback.training.export import export_onnx
from feedback.training.finetune import OnStep, finetune, logits_of
from feedback.training.heads import TurnClassifier
from feedback.training.settings import FinetuneSettings
from feedback.training.space import measure_space
from feedback.training.thresholds import Points, carried_over, choose
from feedback.training.weights import (
    HF_CONFIG_FILE,
    WEIGHTS_FILE,
    load_base,
    load_classifier,
    save_encoder_files,
    save_weights,
)

MODEL_NAME = "redline-zh"
LEAST_VIOLATIONS = 20
Logits = npt.NDArray[np.float64]
# Of every ten innocent conversations, three set the thresholds and are not trained on.
INNOCENT_DEV_TENTHS = 3


@dataclass(frozen=True, slots=True)
class Start:
    """
    Where training starts: a pre-trained encoder, or a finished model to go on from.

    `points` are the thresholds of the finished model, None for an encoder; `served` its
    logits on the development turns, taken before the training changes it. `limits` are
    what it reads of a turn; going on with others would be going on with another input.
    """

    encoder: TurnEncoder
    vocabulary: Tokeniser
    name: str
    model: TurnClassifier | None = None
    points: Points | None = None
    served: Logits | None = None
    limits: InputLimits | None = None


def start_from_base(folder: Path, *, lora_rank: int = 0) -> Start:
    """
    Fresh heads on a pre-trained encoder: one of ours, or the folder of any Hugging Face encoder.

    With `lora_rank` only small matrices of that rank beside the encoder's own are trained;
    for Hugging Face encoders only.
    """
    if (folder / HF_CONFIG_FILE).is_file():
        from feedback.training.hf import load_hf_encoder

        other, tokeniser = load_hf_encoder(folder, lora_rank=lora_rank)
        return Start(other, tokeniser, f"base:{folder.name}{f'+lora{lora_rank}' if lora_rank else ''}")
    if lora_rank:
        raise TrainingError("LoRA is for Hugging Face encoders; ours are small enough to be trained whole")
    encoder, vocabulary = load_base(folder)
    return Start(encoder, vocabulary, f"base:{folder.name}")


def default_settings(folder: Path, *, lora_rank: int = 0) -> FinetuneSettings:
    """What suits a base: ours learns fast, a large one is moved gently."""
    if not (folder / HF_CONFIG_FILE).is_file():
        return FinetuneSettings()
    from feedback.training.hf import HF_SETTINGS, LORA_SETTINGS

    return LORA_SETTINGS if lora_rank else HF_SETTINGS


def start_from_model(folder: Path, manifest: Manifest, labels: Sequence[str]) -> Start:
    """Go on from a trained model; what it learnt from data that is not here stays with it."""
    if list(labels) != manifest.labels:
        raise TrainingError(
            f"model {manifest.version} knows other labels than the catalogue; start from the base encoder (--from-base)"
        )
    model, vocabulary = load_classifier(folder, len(labels))
    return Start(
        model.encoder,
        vocabulary,
        f"model:{manifest.version}",
        model,
        Points(manifest.thresholds, manifest.any_violation),
        limits=InputLimits(**manifest.input.model_dump()),
    )


def load_teacher(folder: Path, labels: Sequence[str], vocabulary: Tokeniser) -> TurnClassifier:
    """A trained model whose judgement another one learns. Raises TrainingError when they do not fit together."""
    if read_manifest(folder).labels != list(labels):
        raise TrainingError(f"teacher {folder} knows other labels than the catalogue")
    model, theirs = load_classifier(folder, len(labels))
    if not (isinstance(theirs, Vocabulary) and isinstance(vocabulary, Vocabulary)):
        raise TrainingError(
            "a Hugging Face encoder neither teaches nor learns from a teacher: its tokens differ"
        )
    if theirs.characters != vocabulary.characters:
        raise TrainingError(
            f"teacher {folder} has another vocabulary; pre-train both on the same packed text"
        )
    return model


def train_model(
    start: Start,
    snapshot: Snapshot,
    innocent: Sequence[LabelledTurn],
    labels: Sequence[str],
    settings: FinetuneSettings,
    target: Path,
    *,
    created_at: datetime,
    code_version: str,
    on_step: OnStep,
    say: Callable[[str], None] = lambda text: None,
    teachers: Sequence[TurnClassifier] = (),
) -> Manifest:
    """
    Train, calibrate, export, measure and describe; `target` becomes the model folder.

    `innocent` are turns from outside the corpus that cross no line, `teachers` larger
    models to learn from (see `finetune`). Raises
    TrainingError when there is too little to learn from or `target` is in use.
    """
    if target.exists() and any(target.iterdir()):
        raise TrainingError(f"{target} is not empty; give a new folder")
    corpus = judged(snapshot.train)
    violations = sum(bool(row.labels) for row in corpus)
    if violations < LEAST_VIOLATIONS:
        raise TrainingError(
            f"only {violations} violating messages to learn from; at least {LEAST_VIOLATIONS} are needed"
        )
    if start.limits is not None:
        settings = settings.model_copy(update={"limits": start.limits})
    if start.model is not None:
        corpus = _rehearsed(corpus, settings)
    train_innocent, dev_innocent = _split_innocent(judged(innocent))
    new = expanded(corpus, settings.augment, share=settings.augment_share, seed=settings.seed)
    if new:
        say(f"new samples: {', '.join(f'{count} of {name}' for name, count in counted(new).items())}")
        corpus = [*corpus, *new]

    examples = make_examples(corpus, labels, start.vocabulary, settings.limits)
    quiet = make_examples(train_innocent, labels, start.vocabulary, settings.limits)
    say(f"training on {len(examples)} corpus turns ({violations} violations) and {len(quiet)} innocent turns")
    if start.model is not None:
        items = [example.item for example in _dev_examples(start, snapshot, labels, settings)]
        start = replace(start, served=logits_of(start.model, items).astype(np.float64))
    stays = settings.serving_share > 0 and not train_innocent
    before = copy.deepcopy(start.model) if start.model is not None and stays else None
    model = finetune(
        start.encoder,
        examples,
        quiet,
        len(labels),
        settings,
        on_step=on_step,
        start=start.model,
        teachers=teachers or ((before,) if before is not None else ()),
    )
    if before is not None:
        _towards(model, before.cpu(), settings.serving_share)
    return finish_model(
        model,
        start,
        snapshot,
        dev_innocent,
        labels,
        settings,
        target,
        created_at=created_at,
        code_version=code_version,
    )


def finish_model(
    model: TurnClassifier,
    start: Start,
    snapshot: Snapshot,
    innocent: Sequence[LabelledTurn],
    labels: Sequence[str],
    settings: FinetuneSettings,
    target: Path,
    *,
    created_at: datetime,
    code_version: str,
) -> Manifest:
    """
    Calibrate, export, measure and describe a trained network.

    `innocent` are turns that it was not trained on; they set the thresholds.
    """
    target.mkdir(parents=True, exist_ok=True)
    model.encoder.settle()
    points = _points(model, start, snapshot, innocent, labels, settings)
    names = [MODEL_FILE, WEIGHTS_FILE, *save_encoder_files(target, model.encoder, start.vocabulary)]
    save_weights(model, target / WEIGHTS_FILE)
    export_onnx(model, target / MODEL_FILE)
    manifest = _describe(
        target, names, labels, points, settings, snapshot.description, start.name, created_at, code_version
    )
    write_manifest(target, manifest)
    space = measure_space(
        OnnxClassifier(target),
        judged(row for row in snapshot.dev if not row.labels),
        innocent,
        judged(row for row in snapshot.train if row.labels),
    )
    if space is not None:
        space.save(target / SPACE_FILE)
        manifest = manifest.model_copy(
            update={"files": {**manifest.files, SPACE_FILE: sha256_of(target / SPACE_FILE)}}
        )
        write_manifest(target, manifest)
    scores: dict[str, Any] = {
        "dev": summary(score_folder(target, snapshot.dev, labels)),
        "test": _summary_of(target, snapshot.test, labels),
        **check_folder(target, model, snapshot),
    }
    if innocent:
        scores["innocent"] = {"messages": len(innocent), "flagged": _flagged(target, innocent)}
    manifest = manifest.model_copy(update={"scores": scores})
    write_manifest(target, manifest)
    write_card(target, manifest)
    return manifest


@torch.no_grad()
def _towards(model: TurnClassifier, before: TurnClassifier, share: float) -> None:
    """
    Move a model back towards the one that it was trained on from.

    Without innocent text a run forgets how people write all day. The one in service as its own
    teacher and the mean of both weights keep most of that, and what is new stays
    (Wortsman et al. 2022, arXiv:2109.01903).
    """
    for ours, theirs in zip(model.parameters(), before.parameters(), strict=True):
        ours.lerp_(theirs, share)


def _rehearsed(corpus: Sequence[LabelledTurn], settings: FinetuneSettings) -> list[LabelledTurn]:
    """All cases and a part of the seed corpus, which the model knows already and should not forget."""
    dice = random.Random(settings.seed)
    return [row for row in corpus if row.origin != "seed" or dice.random() < settings.rehearsal]


def _dev_examples(
    start: Start, snapshot: Snapshot, labels: Sequence[str], settings: FinetuneSettings
) -> list[Example]:
    return make_examples(judged(snapshot.dev), labels, start.vocabulary, settings.limits)


def _summary_of(folder: Path, rows: Sequence[LabelledTurn], labels: Sequence[str]) -> dict[str, Any]:
    """As `summary`; empty where there is nothing to measure on, as when a part of a corpus is tried."""
    return summary(score_folder(folder, rows, labels)) if judged(rows) else {}


def _points(
    model: TurnClassifier,
    start: Start,
    snapshot: Snapshot,
    innocent: Sequence[LabelledTurn],
    labels: Sequence[str],
    settings: FinetuneSettings,
) -> Points:
    def logits(examples: Sequence[Example]) -> Logits:
        return logits_of(model, [example.item for example in examples]).astype(np.float64)

    dev = _dev_examples(start, snapshot, labels, settings)
    targets = np.stack([example.targets for example in dev]).astype(np.float64)
    if start.points is not None and start.served is not None and not innocent:
        return carried_over(start.points, start.served, logits(dev), targets.sum(1) == 0)
    quiet = make_examples(innocent, labels, start.vocabulary, settings.limits)
    return choose(labels, logits(dev), targets, logits(quiet).reshape(-1, len(labels)), settings)


def _split_innocent(rows: Sequence[LabelledTurn]) -> tuple[list[LabelledTurn], list[LabelledTurn]]:
    names = {
        name: number
        for number, name in enumerate(dict.fromkeys(row.turn.message.conversation_id for row in rows))
    }
    parts: tuple[list[LabelledTurn], list[LabelledTurn]] = ([], [])
    for row in rows:
        parts[names[row.turn.message.conversation_id] % 10 < INNOCENT_DEV_TENTHS].append(row)
    return parts


def _describe(
    folder: Path,
    names: Sequence[str],
    labels: Sequence[str],
    points: Points,
    settings: FinetuneSettings,
    dataset: Dataset,
    base: str,
    created_at: datetime,
    code_version: str,
) -> Manifest:
    files = {name: sha256_of(folder / name) for name in names}
    return Manifest(
        name=MODEL_NAME,
        version=f"{created_at:%Y%m%d}-{files[MODEL_FILE][:8]}",
        created_at=created_at.isoformat(),
        labels=list(labels),
        thresholds=points.labels,
        any_violation=points.any_violation,
        input=InputShape(**{field: getattr(settings.limits, field) for field in InputShape.model_fields}),
        dataset=dataset,
        settings=settings.model_dump(mode="json"),
        base=base,
        code_version=code_version,
        scores={},
        files=files,
    )


def found_labels(
    classifier: OnnxClassifier, rows: Sequence[LabelledTurn], labels: Sequence[str]
) -> list[frozenset[str]]:
    """Labels that the model flags, one set per row; none for customers."""
    points = DecisionPoints(classifier.manifest)
    chosen = judged(rows)
    readings = classifier.read([row.turn for row in chosen]) if chosen else []
    found = {
        id(row): frozenset(labels[column] for column in points.decide(reading.probabilities).flagged)
        for row, reading in zip(chosen, readings, strict=True)
    }
    return [found.get(id(row), frozenset()) for row in rows]


def score_folder(folder: Path, rows: Sequence[LabelledTurn], labels: Sequence[str]) -> Evaluation:
    """Score a model folder as it would serve: quantised, with its own thresholds."""
    return evaluate(judgements(OnnxClassifier(folder), rows, labels), labels)


def judgements(
    classifier: OnnxClassifier, rows: Sequence[LabelledTurn], labels: Sequence[str]
) -> list[Judgement]:
    """What the model alone says of the labelled turns that it is asked about: not the customers'."""
    chosen = judged(rows)
    found = found_labels(classifier, chosen, labels)
    return [
        Judgement(row.turn.message.conversation_id, row.labels, labels_found, tags=row.tags)
        for row, labels_found in zip(chosen, found, strict=True)
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


def _flagged(folder: Path, rows: Sequence[LabelledTurn]) -> int:
    classifier = OnnxClassifier(folder)
    return sum(bool(found) for found in found_labels(classifier, rows, classifier.manifest.labels))
