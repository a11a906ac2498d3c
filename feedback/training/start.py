"""Where a training starts: an encoder, or a finished model to go on from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.first_stage import FirstStage, read_first_stage
from detectors.manifest import Manifest, read_manifest
from detectors.second_reader import SecondReader, read_second
from detectors.tokens import InputLimits, Tokeniser, same_characters
from feedback.training.encoder import TurnEncoder
from feedback.training.errors import TrainingError
from feedback.training.heads import TurnClassifier
from feedback.training.second_reader import int8_of_second
from feedback.training.settings import FinetuneSettings
from feedback.training.thresholds import Points
from feedback.training.weights import HF_CONFIG_FILE, load_base, load_classifier

Logits = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Start:
    """
    Where training starts: a pre-trained encoder, or a finished model to go on from.

    `points` are the thresholds of the finished model, None for an encoder; `served` its
    logits on the development turns, taken before the training changes it. `limits` are
    what it reads of a turn; going on with others would be going on with another input.
    `first_stage` is the finished model's, which saw innocent text that may not be here; `second`
    is its second reader, which stays as it is; `second_int8` what eight bits cost that one.
    """

    encoder: TurnEncoder
    vocabulary: Tokeniser
    name: str
    model: TurnClassifier | None = None
    points: Points | None = None
    served: Logits | None = None
    limits: InputLimits | None = None
    first_stage: FirstStage | None = None
    second: SecondReader | None = None
    second_int8: Mapping[str, float] | None = None


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
        first_stage=read_first_stage(folder, manifest),
        second=read_second(folder, manifest),
        second_int8=int8_of_second(manifest),
    )


def load_teacher(folder: Path, labels: Sequence[str], vocabulary: Tokeniser) -> TurnClassifier:
    """A trained model whose judgement another one learns. Raises TrainingError when they do not fit together."""
    if read_manifest(folder).labels != list(labels):
        raise TrainingError(f"teacher {folder} knows other labels than the catalogue")
    model, theirs = load_classifier(folder, len(labels))
    if not same_characters(theirs, vocabulary):
        raise TrainingError(
            f"teacher {folder} has another vocabulary; pre-train both on the same packed text, "
            "or make its base with 'redline import-encoder'"
        )
    return model
