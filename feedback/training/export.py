"""Writes a trained classifier as a quantised ONNX graph."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from detectors.tokens import Batch
from feedback.training.heads import TurnClassifier, embedding, own_tokens

INPUTS = ("ids", "roles", "ages", "places")
# The exporter names nodes after operators: an output called "embedding" would clash with one.
OUTPUTS = ("logits", "token_logits", "turn_place")
# From 20 on GELU is one operator.
OPSET = 20


class Served(nn.Module):
    """What the graph gives: the classifier's two outputs, and where each window stands in the encoder's space."""

    def __init__(self, model: TurnClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, ids: Tensor, roles: Tensor, ages: Tensor, places: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, logits of every token, embeddings."""
        states = self.model.encoder(ids, roles, ages, places)
        logits, votes = self.model.judge(states, roles, ages, places)
        return logits, votes, embedding(states, own_tokens(roles, ages, places))


def export_onnx(model: TurnClassifier, path: Path) -> None:
    """
    Export with free batch and length; weights of the matrix products as int8, of which they use seven bits.

    The embedding tables become 8-bit as well, and use all eight: their rows are looked up, not multiplied.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        _export(model, plain)
        prepared = Path(folder) / "prepared.onnx"
        with _warnings_only():
            quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
            _forget_shapes(prepared)
            quantize_dynamic(
                str(prepared),
                str(path),
                weight_type=QuantType.QInt8,
                per_channel=True,
                # Seven bits: with eight, processors without VNNI add up two products in 16 bits and cut off what
                # is larger, and the same model says something else there (onnxruntime.ai/docs, quantization).
                reduce_range=True,
                op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            )
    _forget_origin(path)


@contextmanager
def _warnings_only() -> Iterator[None]:
    """The quantiser tells the root logger of every operator that it leaves as it is."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _export(model: TurnClassifier, path: Path) -> None:
    example = np.array([[2, 5, 6, 3, 7], [2, 5, 3, 6, 0]], dtype=np.int64)
    feed = Batch(
        example, (example > 0).astype(np.int64), np.zeros_like(example), np.arange(5)[None].repeat(2, 0)
    ).feed()
    longest = model.encoder.longest
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=longest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            Served(model).eval(),
            tuple(torch.from_numpy(feed[name]) for name in INPUTS),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes={name: {0: batch, 1: length} for name in INPUTS},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path))
    onnx.checker.check_model(str(path))


def _forget_shapes(path: Path) -> None:
    """The optimiser renames and transposes weights but keeps their old shapes, which the quantiser then refuses."""
    graph = onnx.load(str(path))
    del graph.graph.value_info[:]
    onnx.save(graph, str(path))


def _forget_origin(path: Path) -> None:
    """The exporter writes source paths and stack traces of the training machine into every node."""
    model = onnx.load(str(path))
    graph = model.graph
    for part in (
        model,
        graph,
        *graph.node,
        *graph.initializer,
        *graph.input,
        *graph.output,
        *model.functions,
    ):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
    del graph.value_info[:]
    onnx.save(model, str(path))
