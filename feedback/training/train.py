"""Trains a classifier on a dataset."""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import torch

from detectors.first_stage import beside
from detectors.manifest import Manifest
from feedback.augment.expand import counted, expanded
from feedback.augment.rewriter import Rewriter
from feedback.dataset import Snapshot, bucket_of
from feedback.labelled import LabelledTurn
from feedback.training.errors import TrainingError
from feedback.training.examples import judged, make_examples
from feedback.training.finetune import OnStep, finetune
from feedback.training.finish import dev_examples, encoder_logits, finish_model
from feedback.training.heads import TurnClassifier
from feedback.training.second_reader import Candidate
from feedback.training.selection import select_for
from feedback.training.settings import FinetuneSettings
from feedback.training.start import Logits, Start

LEAST_VIOLATIONS = 20
# Of a hundred innocent conversations so many set the thresholds and are not trained on, in every run the same.
INNOCENT_DEV_SHARE = 30


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
    keep_weights: bool = False,
    second: Candidate | None = None,
    asked_by: Candidate | None = None,
    rewriter: Rewriter | None = None,
) -> Manifest:
    """
    Train, calibrate, export, measure and describe; `target` becomes the model folder.

    `innocent` are turns from outside the corpus that cross no line, `teachers` larger
    models to learn from (see `finetune`). With `keep_weights` a finished model keeps its
    weights; it is exported anew and gets a first stage and thresholds. `second` becomes its
    second reader; a model that shall itself become the second reader of `asked_by` learns most
    from what that one is not sure of. `rewriter` makes the samples of the source `paraphrase`. Raises
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
    if second is not None and not any(row.labels for row in judged(snapshot.dev)):
        raise TrainingError(
            "the development part has no violation: nothing would say when to ask the second reader; "
            "train without one, or on more conversations"
        )
    if keep_weights and start.model is None:
        raise TrainingError("only a finished model has weights to keep; give a model folder as --base")
    if start.limits is not None:
        settings = settings.model_copy(update={"limits": start.limits})
    start.encoder.check(settings.limits)
    start.encoder.keep_still(settings.still_layers)
    if start.model is not None:
        corpus = _rehearsed(corpus, settings)
    train_innocent, dev_innocent = _split_innocent(judged(innocent))

    def finished(model: TurnClassifier, start: Start, samples: Sequence[LabelledTurn] = ()) -> Manifest:
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
            seen_innocent=train_innocent,
            samples=samples,
            second=second,
            say=say,
        )

    if start.model is not None and not dev_innocent:  # else innocent turns set the points
        start = replace(start, served=_served(start, start.model, snapshot, labels, settings))
    if keep_weights and start.model is not None:
        settings = settings.model_copy(
            update={"epochs": 0}
        )  # for the manifest and the card: nothing was learnt
        return finished(start.model.eval(), start)
    new = expanded(
        corpus,
        settings.augment,
        share=settings.augment_share,
        seed=settings.seed,
        rewriter=rewriter,
        say=say,
    )
    if new:
        say(f"new samples: {', '.join(f'{count} of {name}' for name, count in counted(new).items())}")
        corpus = [*corpus, *new]

    examples = make_examples(corpus, labels, start.vocabulary, settings.limits)
    quiet = make_examples(train_innocent, labels, start.vocabulary, settings.limits)
    crossing = sum(bool(row.labels) for row in corpus)
    say(f"training on {len(examples)} corpus turns ({crossing} violations) and {len(quiet)} innocent turns")
    stays = settings.serving_share > 0 and not train_innocent
    before = copy.deepcopy(start.model) if start.model is not None and stays else None
    selection = None
    if asked_by is not None:
        say(f"reading all turns with model {asked_by.version}, which will ask")
        selection = select_for(asked_by, examples, quiet)
        say(f"it is sure of {int(selection.sure.sum())} compliant corpus turns")
    model = finetune(
        start.encoder,
        examples,
        quiet,
        len(labels),
        settings,
        on_step=on_step,
        start=start.model,
        teachers=teachers or ((before,) if before is not None else ()),
        selection=selection,
    )
    if before is not None:
        _towards(model, before.cpu(), settings.serving_share)
    return finished(model, start, new)


def _served(
    start: Start,
    model: TurnClassifier,
    snapshot: Snapshot,
    labels: Sequence[str],
    settings: FinetuneSettings,
) -> Logits:
    """What the model that is started from says of the development turns, before the training changes it."""
    dev = dev_examples(start, snapshot, labels, settings)
    added = beside(start.first_stage, [example.turn for example in dev], len(labels))
    return encoder_logits(model.eval(), [example.item for example in dev], start.second) + added


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
    """
    All that is new to the model, and a part of the seed corpus, which it knows and should not forget.

    Raises TrainingError for a new writer who wrote nothing.
    """
    unknown = sorted(set(settings.new_writers) - {row.group for row in corpus if row.origin == "seed"})
    if unknown:
        raise TrainingError(
            f"new_writers: the training part of the seed corpus has nothing by {', '.join(unknown)}; "
            "a writer is named as the file in feedback/corpus/seed, such as w81"
        )
    dice = random.Random(settings.seed)
    return [
        row
        for row in corpus
        if row.origin != "seed" or row.group in settings.new_writers or dice.random() < settings.rehearsal
    ]


def _split_innocent(rows: Sequence[LabelledTurn]) -> tuple[list[LabelledTurn], list[LabelledTurn]]:
    parts: tuple[list[LabelledTurn], list[LabelledTurn]] = ([], [])
    for row in rows:
        parts[bucket_of(row) < INNOCENT_DEV_SHARE].append(row)
    return parts
