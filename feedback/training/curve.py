"""Trains the classifier on a part of the corpus, for the learning curve and the ablation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from detectors.classifier import OnnxClassifier
from detectors.manifest import Dataset
from feedback.augment.rewriter import Rewriter
from feedback.dataset import Snapshot
from feedback.evaluation.systems import ModelSystem, System
from feedback.labelled import LabelledTurn
from feedback.training.finetune import OnStep
from feedback.training.settings import FinetuneSettings
from feedback.training.start import start_from_base
from feedback.training.train import train_model


@dataclass(frozen=True, slots=True)
class EncoderTrainer:
    """
    Fine-tunes `base` on the turns it is called with, always in the same way.

    Models go to new folders under `work`, numbered by how many there are. `rewriter` makes the samples of
    the source `paraphrase`, where the settings name it.
    """

    base: Path
    dev: Sequence[LabelledTurn]
    innocent: Sequence[LabelledTurn]
    labels: Sequence[str]
    settings: FinetuneSettings
    work: Path
    now: datetime
    code_version: str
    on_step: OnStep
    say: Callable[[str], None] = lambda text: None
    rewriter: Rewriter | None = None

    def __call__(self, rows: Sequence[LabelledTurn]) -> System:
        """A trained model as a system named `model`. Raises TrainingError when there is too little to learn from."""
        target = self.work / f"model-{sum(1 for _ in self.work.iterdir())}"
        train_model(
            start_from_base(self.base),
            Snapshot(tuple(rows), tuple(self.dev), (), _described(rows)),
            self.innocent,
            self.labels,
            self.settings,
            target,
            created_at=self.now,
            code_version=self.code_version,
            on_step=self.on_step,
            say=self.say,
            rewriter=self.rewriter,
        )
        return ModelSystem("model", OnnxClassifier(target))


def _described(rows: Sequence[LabelledTurn]) -> Dataset:
    return Dataset(
        hash="part",
        conversations=len({row.turn.message.conversation_id for row in rows}),
        messages=len(rows),
        violations=sum(bool(row.labels) for row in rows),
    )
