"""From a trained network to a finished model folder."""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from detectors.classifier import MODEL_FILE
from detectors.domain import Turn
from detectors.first_stage import FIRST_STAGE_FILE, FirstStage, beside
from detectors.manifest import Dataset, InputShape, Manifest, SecondReading, sha256_of, write_manifest
from detectors.second_reader import SECOND_FILE, SecondReader
from detectors.space import SPACE_FILE
from detectors.tokens import Window
from feedback.augment.expand import counted
from feedback.augment.samples import SAMPLES_FILE, write_samples
from feedback.dataset import Snapshot
from feedback.labelled import LabelledTurn
from feedback.training.card import write_card
from feedback.training.checks import check_folder
from feedback.training.examples import Example, judged, make_examples
from feedback.training.export import export_onnx
from feedback.training.finetune import logits_of
from feedback.training.first_stage import (
    reported,
    train_first_stage,
    with_disguises,
    with_threshold,
    with_weights,
)
from feedback.training.heads import TurnClassifier
from feedback.training.scoring import count_flagged, open_model, score_folder, summary
from feedback.training.second_reader import Candidate, asked_anew, fit_second, what_it_brings, with_second
from feedback.training.settings import FinetuneSettings
from feedback.training.smoothing import smoothed
from feedback.training.space import measure_space
from feedback.training.start import Logits, Start
from feedback.training.thresholds import Points, carried_over, choose
from feedback.training.weights import WEIGHTS_FILE, save_encoder_files, save_weights

MODEL_NAME = "redline-zh"
# Windows that show how large a network's activations are.
SMOOTHED_ON = 256


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
    seen_innocent: Sequence[LabelledTurn] = (),
    samples: Sequence[LabelledTurn] = (),
    second: Candidate | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Manifest:
    """
    Calibrate, export, measure and describe a trained network.

    `innocent` are turns that it was not trained on; they set the thresholds.
    `seen_innocent` are those that it was trained on; the first stage learns from them too.
    `samples` are new samples made of the training part, which it learnt from; they are counted and listed.

    `second` becomes the second reader in the place of the one that `start` has, if any.

    A new first stage is made where there is innocent text to learn from, or none to go on with;
    else that of the model in service stays, and only its threshold is set anew.
    """
    target.mkdir(parents=True, exist_ok=True)
    model.encoder.settle()
    dev = dev_examples(start, snapshot, labels, settings)
    items, targets = [example.item for example in dev], _targets(dev)
    alone = encoder_logits(model, items)
    if second is not None:
        say("second reader: asking it about the development turns")
        start = replace(start, second=fit_second(second, items, alone, targets, kept=settings.second_kept))
    elif start.second is not None:
        start = replace(start, second=asked_anew(start.second, alone, targets, kept=settings.second_kept))
    encoder = with_second(start.second, items, alone)
    say("first stage: learning words")
    stage = start.first_stage if start.first_stage is not None and not seen_innocent else None
    if stage is None:
        learn = [*with_disguises(snapshot.train, seed=settings.seed), *judged(seen_innocent)]
        stage = train_first_stage(learn, labels, settings.limits, seed=settings.seed)
        stage = with_weights(stage, [example.turn for example in dev], encoder, targets)
    together = encoder + beside(stage, [example.turn for example in dev], len(labels))
    points = _points(model, stage, start, dev, together, innocent, labels, settings)
    stage = with_threshold(
        stage, _to_keep(model, stage, start, snapshot, points, settings), kept=settings.first_stage_kept
    )
    names = [MODEL_FILE, WEIGHTS_FILE, *save_encoder_files(target, model.encoder, start.vocabulary)]
    save_weights(model, target / WEIGHTS_FILE)
    export_onnx(smoothed(model, items[:: len(items) // SMOOTHED_ON + 1]), target / MODEL_FILE)
    stage.save(target / FIRST_STAGE_FILE)
    names.append(FIRST_STAGE_FILE)
    if start.second is not None:
        shutil.copyfile(start.second.file, target / SECOND_FILE)
        names.append(SECOND_FILE)
    if samples:
        write_samples(target / SAMPLES_FILE, samples, snapshot.train)
        names.append(SAMPLES_FILE)
    dataset = snapshot.description.model_copy(update={"samples": counted(samples)})
    manifest = _describe(target, names, labels, points, settings, dataset, start, created_at, code_version)
    write_manifest(target, manifest)
    space = measure_space(
        open_model(target),
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
    if start.second is not None and targets.any():
        scores["second_reader"] = what_it_brings(start.second, alone, encoder, targets)
        int8 = second.int8 if second is not None else start.second_int8
        if int8:
            scores["second_reader"]["int8"] = dict(int8)
    if innocent:
        scores["innocent"] = {"messages": len(innocent), "flagged": count_flagged(target, innocent)}
    manifest = manifest.model_copy(update={"scores": scores})
    write_manifest(target, manifest)
    write_card(target, manifest)
    return manifest


def dev_examples(
    start: Start, snapshot: Snapshot, labels: Sequence[str], settings: FinetuneSettings
) -> list[Example]:
    return make_examples(judged(snapshot.dev), labels, start.vocabulary, settings.limits)


def _targets(examples: Sequence[Example]) -> Logits:
    return np.stack([example.targets for example in examples]).astype(np.float64)


def _summary_of(folder: Path, rows: Sequence[LabelledTurn], labels: Sequence[str]) -> dict[str, Any]:
    """As `summary`; empty where there is nothing to measure on, as when a part of a corpus is tried."""
    return summary(score_folder(folder, rows, labels)) if judged(rows) else {}


def encoder_logits(
    model: TurnClassifier, items: Sequence[Window], second: SecondReader | None = None
) -> Logits:
    """What the encoder says of windows, without the first stage."""
    return with_second(second, items, logits_of(model, items).astype(np.float64))


def _points(
    model: TurnClassifier,
    stage: FirstStage,
    start: Start,
    dev: Sequence[Example],
    together: Logits,
    innocent: Sequence[LabelledTurn],
    labels: Sequence[str],
    settings: FinetuneSettings,
) -> Points:
    targets = _targets(dev)
    if start.points is not None and start.served is not None and not innocent:
        # A dismissed case is there because something flagged it. What the candidate learnt of such must not
        # become leave to flag as many others.
        reviewed = np.array([example.reviewed for example in dev])
        return carried_over(start.points, start.served, together, (targets.sum(1) == 0) & ~reviewed)
    quiet = make_examples(innocent, labels, start.vocabulary, settings.limits)
    found = encoder_logits(model, [example.item for example in quiet], start.second).reshape(-1, len(labels))
    found = found + beside(stage, [example.turn for example in quiet], len(labels))
    return choose(labels, together, targets, found, settings)


def _to_keep(
    model: TurnClassifier,
    stage: FirstStage,
    start: Start,
    snapshot: Snapshot,
    points: Points,
    settings: FinetuneSettings,
) -> list[Turn]:
    """What must not be settled: reported violations of the development part, and of reviewers' cases."""
    cases = [row for row in snapshot.train if row.origin == "case"]
    return reported(
        with_disguises([*snapshot.dev, *cases], seed=settings.seed),
        lambda items, turns: encoder_logits(model, items, start.second) + beside(stage, turns, model.labels),
        points,
        start.vocabulary,
        settings.limits,
    )


def _judging(
    files: Mapping[str, str], points: Points, second: SecondReading | None, denies_below: float
) -> str:
    """Digest of all that a verdict depends on: another version may judge otherwise, the same may not."""
    parts = [files[name] for name in (MODEL_FILE, FIRST_STAGE_FILE, SECOND_FILE) if name in files]
    parts += [item.model_dump_json() for item in (*points.labels.values(), points.any_violation)]
    parts += [second.model_dump_json()] if second is not None else []
    return hashlib.sha256("".join([*parts, str(denies_below)]).encode()).hexdigest()


def _describe(
    folder: Path,
    names: Sequence[str],
    labels: Sequence[str],
    points: Points,
    settings: FinetuneSettings,
    dataset: Dataset,
    start: Start,
    created_at: datetime,
    code_version: str,
) -> Manifest:
    files = {name: sha256_of(folder / name) for name in names}
    second = start.second.terms if start.second is not None else None
    return Manifest(
        name=MODEL_NAME,
        version=f"{created_at:%Y%m%d}-{_judging(files, points, second, settings.denies_below)[:8]}",
        created_at=created_at.isoformat(),
        labels=list(labels),
        thresholds=points.labels,
        any_violation=points.any_violation,
        second=second,
        denies_below=settings.denies_below,
        input=InputShape.of(settings.limits),
        dataset=dataset,
        settings=settings.model_dump(mode="json"),
        base=start.name,
        code_version=code_version,
        scores={},
        files=files,
    )
