"""Weights on disk: half-precision NumPy archives, readable without torch and without pickle."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import orjson
import torch
from torch import nn

from detectors.tokeniser_file import VOCABULARY_FILE
from detectors.tokens import Tokeniser, Vocabulary
from feedback.training.encoder import Encoder, EncoderShape, TurnEncoder
from feedback.training.errors import TrainingError
from feedback.training.heads import TurnClassifier

ENCODER_FILE = "encoder.npz"
WEIGHTS_FILE = "weights.npz"
SHAPE_FILE = "shape.json"
HF_CONFIG_FILE = "config.json"


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a state as float16: half the size, and the difference is far below int8's."""
    arrays = {
        name: value.detach().cpu().to(torch.float16).numpy() for name, value in model.state_dict().items()
    }
    np.savez_compressed(path, **arrays)


def load_weights(model: nn.Module, path: Path) -> None:
    """Read a state. Raises TrainingError when it is missing or belongs to another shape."""
    if not path.is_file():
        raise TrainingError(f"{path} is missing; give a folder made by 'redline pretrain' or 'redline train'")
    with np.load(path, allow_pickle=False) as archive:
        state = {name: torch.from_numpy(archive[name].astype(np.float32)) for name in archive.files}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise TrainingError(f"{path} does not fit this encoder: {error}") from error


def save_base(folder: Path, encoder: TurnEncoder, vocabulary: Vocabulary) -> None:
    """Write a pre-trained encoder: shape, vocabulary, weights; one from Hugging Face as such a directory."""
    if not isinstance(encoder, Encoder):
        from feedback.training.hf import HfEncoder, save_hf_base

        assert isinstance(encoder, HfEncoder)
        save_hf_base(folder, encoder, vocabulary)
    else:
        save_vocabulary_and_shape(folder, encoder, vocabulary)
        save_weights(encoder, folder / ENCODER_FILE)


def save_vocabulary_and_shape(folder: Path, encoder: Encoder, vocabulary: Vocabulary) -> None:
    """Write what is needed to build an encoder before its weights are read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SHAPE_FILE).write_bytes(orjson.dumps(asdict(encoder.shape), option=orjson.OPT_INDENT_2) + b"\n")
    vocabulary.save(folder / VOCABULARY_FILE)


def load_base(folder: Path) -> tuple[Encoder, Vocabulary]:
    """Read a pre-trained encoder. Raises TrainingError naming what is missing."""
    return _empty_encoder(folder, ENCODER_FILE)


def _empty_encoder(folder: Path, weights: str | None) -> tuple[Encoder, Vocabulary]:
    for name in (SHAPE_FILE, VOCABULARY_FILE):
        if not (folder / name).is_file():
            raise TrainingError(
                f"{folder / name} is missing; give a folder made by 'redline pretrain' or 'redline train'"
            )
    encoder = Encoder(EncoderShape(**orjson.loads((folder / SHAPE_FILE).read_bytes())))
    if weights:
        load_weights(encoder, folder / weights)
    return encoder, Vocabulary.load(folder / VOCABULARY_FILE)


def save_encoder_files(folder: Path, encoder: TurnEncoder, tokeniser: Tokeniser) -> list[str]:
    """Write what stands beside the weights of any encoder; returns the names of the files."""
    if isinstance(encoder, Encoder) and isinstance(tokeniser, Vocabulary):
        save_vocabulary_and_shape(folder, encoder, tokeniser)
        return [VOCABULARY_FILE, SHAPE_FILE]
    from feedback.training.hf import save_hf_files

    return save_hf_files(folder, encoder, tokeniser)


def load_classifier(folder: Path, labels: int) -> tuple[TurnClassifier, Tokeniser]:
    """Read the trainable form of a model folder, to go on training from it."""
    encoder: TurnEncoder
    vocabulary: Tokeniser
    if (folder / HF_CONFIG_FILE).is_file():
        from feedback.training.hf import empty_hf_encoder

        encoder, vocabulary = empty_hf_encoder(folder)
    else:
        encoder, vocabulary = _empty_encoder(folder, None)
    model = TurnClassifier(encoder, labels)
    load_weights(model, folder / WEIGHTS_FILE)
    return model, vocabulary
