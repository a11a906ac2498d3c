"""The learning curve of `redline eval` (needs the train extra)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from deploy.cli.console import progress_bar, say
from deploy.cli.train import filled_settings, need_torch, on_step
from deploy.wiring import code_version, utc_now
from feedback.dataset import Snapshot
from feedback.evaluation.curve import CurvePoint, Train, learning_curve, tfidf_trainer
from feedback.labelled import LabelledTurn

if TYPE_CHECKING:
    from feedback.training.settings import FinetuneSettings

MODEL, TFIDF = "model", "tfidf"


def curve_settings(base: Path, config: Path | None) -> "FinetuneSettings":
    """
    What suits the base, with what the file changes: as `redline train` starts from it.

    Raises RedlineError for a file that does not fit, TrainingExtraMissing where torch is missing;
    call it before anything that takes long.
    """
    need_torch()
    from feedback.training.start import default_settings

    return filled_settings(config, default_settings(base))


def train_curve(
    base: Path,
    settings: "FinetuneSettings",
    corpus: Snapshot,
    learnt: Sequence[LabelledTurn],
    labelled: Sequence[LabelledTurn],
    innocent: Mapping[str, list[LabelledTurn]],
    labels: Sequence[str],
    *,
    shares: Sequence[float],
) -> list[CurvePoint]:
    """
    Train the base, and TF-IDF beside it, on growing parts of the training part of the corpus.

    `learnt` are innocent turns that every run learns from; measured is on `labelled` and `innocent`.
    """
    from feedback.training.curve import EncoderTrainer

    with TemporaryDirectory() as work, progress_bar("learning curve", total=100) as update:
        trainers: dict[str, Train] = {
            MODEL: EncoderTrainer(
                base,
                corpus.dev,
                learnt,
                labels,
                settings,
                Path(work),
                utc_now(),
                code_version(),
                on_step=on_step(update),
            ),
            TFIDF: tfidf_trainer(corpus.dev, learnt, labels),
        }
        return learning_curve(
            trainers, corpus.train, labelled, dict(innocent), labels, shares=shares, say=say
        )
