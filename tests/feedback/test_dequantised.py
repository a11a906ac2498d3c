"""The weights of an exported graph are good enough to go on training from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.tokens import Vocabulary, Window
from feedback.training.errors import TrainingError

pytestmark = pytest.mark.training

VOCABULARY = Vocabulary(list("这个产品没有风险放心买收益率大概左右吧"))
LABELS = 3


def tiny_bert(width: int = 64) -> Any:
    from transformers import BertConfig, BertModel

    from feedback.training.hf import HfEncoder

    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        max_position_embeddings=200,
        attn_implementation="eager",
    )
    return HfEncoder(BertModel(config), noise_id=4, places=198)


def windows(number: int) -> list[Window]:
    dice = np.random.default_rng(2)
    return [
        Window(
            [2, *dice.integers(5, len(VOCABULARY), 30).tolist()],
            [1, *[2] * 10, *[1] * 20],
            [0, *[1] * 10, *[0] * 20],
            list(range(31)),
            0,
            30,
        )
        for _ in range(number)
    ]


def start(seed: int) -> Any:
    import torch

    from feedback.training.start import Start

    torch.manual_seed(seed)
    return Start(tiny_bert(), VOCABULARY, "base:tiny")


def exported(path: Path, *, smooth: bool = True) -> Any:
    """A classifier with weights of every size, and its graph."""
    import torch

    from feedback.training.export import export_onnx
    from feedback.training.heads import TurnClassifier
    from feedback.training.smoothing import smoothed

    model = TurnClassifier(start(1).encoder, LABELS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # of equal biases the exporter keeps one
    export_onnx(smoothed(model, windows(10)) if smooth else model, path)
    return model


def test_what_is_taken_out_says_what_went_in(tmp_path: Path) -> None:
    from feedback.training.dequantised import dequantised
    from feedback.training.finetune import logits_of

    model = exported(tmp_path / "model.onnx")
    back = dequantised(start(2), tmp_path / "model.onnx", LABELS)
    assert "graph:model.onnx" == back.name
    items = windows(40)
    assert back.model is not None
    wanted, found, untouched = (
        logits_of(network, items).ravel() for network in (model, back.model, _fresh())
    )
    assert np.corrcoef(wanted, found)[0, 1] > 0.99
    assert np.abs(wanted - found).mean() < 0.1 * np.abs(wanted - untouched).mean()


def _fresh() -> Any:
    from feedback.training.heads import TurnClassifier

    return TurnClassifier(start(2).encoder, LABELS)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    from feedback.training.dequantised import dequantised
    from feedback.training.encoder import Encoder, EncoderShape

    graph = tmp_path / "model.onnx"
    exported(graph)
    ours = Encoder(EncoderShape(vocabulary=len(VOCABULARY), width=64, layers=2, heads=2))
    with pytest.raises(TrainingError, match="one of ours keeps them in its model folder"):
        dequantised(replace(start(2), encoder=ours), graph, LABELS)
    with pytest.raises(TrainingError, match="another encoder or to other labels"):
        dequantised(replace(start(2), encoder=tiny_bert(width=32)), graph, LABELS)
    with pytest.raises(TrainingError, match="another encoder or to other labels"):
        dequantised(start(2), graph, LABELS + 1)
    with pytest.raises(TrainingError, match="no ONNX graph that can be read"):
        dequantised(start(2), tmp_path / "missing.onnx", LABELS)
    graph.write_bytes(b"not a graph")
    with pytest.raises(TrainingError, match="no ONNX graph that can be read"):
        dequantised(start(2), graph, LABELS)
    exported(graph, smooth=False)
    with pytest.raises(TrainingError, match="without smoothing"):
        dequantised(start(2), graph, LABELS)
