"""
Takes the trainable weights of a Hugging Face encoder and its heads back out of an exported graph.

A model folder has its first encoder in training form, but its second reader only as the int8 graph
that is served: the other form is twice as large. Seven bits a weight are near enough to go on from.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper

from feedback.training.encoder import Encoder
from feedback.training.errors import TrainingError
from feedback.training.heads import TurnClassifier
from feedback.training.start import Start

Floats = npt.NDArray[np.float32]

# What `export.Served` puts before the names of a classifier's weights, and `smoothing.Smoothed` behind them.
OUTER, INVERSE, INNER = "model.", ".inverse", ".linear"


def dequantised(start: Start, graph: Path, labels: int) -> Start:
    """
    The encoder of `start` with the weights of `graph`, and its heads: a model to go on from.

    `start` gives what the graph does not tell: the shape and the vocabulary. Raises TrainingError
    when the graph does not load or belongs to another encoder or other labels.
    """
    if isinstance(start.encoder, Encoder):
        raise TrainingError(
            f"{graph}: weights are taken from graphs of Hugging Face encoders only; one of ours keeps them "
            "in its model folder: give that as the base"
        )
    model = TurnClassifier(start.encoder, labels)
    found = weights_of(graph)
    state = model.state_dict()
    # What is never asked (BERT's pooler) is in no graph.
    missing = [
        name for name in state if name not in found and "pooler" not in name and "position_ids" not in name
    ]
    other = [name for name in found if name not in state or state[name].shape != found[name].shape]
    if missing or other:
        raise TrainingError(
            f"{graph} belongs to another encoder or to other labels: {len(missing)} weights are not in it"
            f"{_such_as(missing)}, {len(other)} do not fit{_such_as(other)}; give the base that it was trained from"
        )
    model.load_state_dict({**state, **{name: torch.from_numpy(value) for name, value in found.items()}})
    return replace(start, model=model, name=f"graph:{graph.name}")


def _such_as(names: list[str]) -> str:
    return f" (such as {names[0]})" if names else ""


def weights_of(path: Path) -> dict[str, Floats]:
    """The weights that `export.export_onnx` wrote, by their names in a `TurnClassifier`. Raises TrainingError."""
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # onnx raises protobuf's own types
        raise TrainingError(f"{path} is no ONNX graph that can be read: {error}") from error
    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    found: dict[str, Floats] = {}
    for name, value in stored.items():
        table = name.removesuffix("_quantized")
        # A layer's weights lie transposed and smoothed: they are taken from its product, below.
        if name.startswith(OUTER) and table != name and not table.endswith(f"{INNER}.weight"):
            found[_own_name(table)] = _plain(stored, table)
        elif name.startswith(OUTER) and value.dtype == np.float32 and not name.endswith((INVERSE, "_scale")):
            found[_own_name(name)] = value.copy()
    for node in graph.node:
        if node.op_type != "MatMulInteger":
            continue
        quantiser = made_by.get(node.input[0])
        read = made_by.get(quantiser.input[0]) if quantiser is not None else None
        inverse = (
            next((name for name in read.input if name.endswith(INVERSE)), None) if read is not None else None
        )
        if inverse is None:
            raise TrainingError(
                f"{path}: product {node.name} was exported without smoothing; train anew instead"
            )
        layer = _own_name(inverse.removesuffix(INVERSE))
        weights = _plain(stored, node.input[1].removesuffix("_quantized"))
        found[f"{layer}.weight"] = np.ascontiguousarray(weights.T * stored[inverse].astype(np.float32))
    found.pop("whole.linear.weight", None)
    return found


def _own_name(name: str) -> str:
    layer, _, kind = name.removeprefix(OUTER).rpartition(".")
    return f"{layer.removesuffix(INNER)}.{kind}" if layer else kind


def _plain(stored: dict[str, npt.NDArray[np.generic]], name: str) -> Floats:
    steps = stored[f"{name}_quantized"].astype(np.float32) - stored[f"{name}_zero_point"].astype(np.float32)
    return np.asarray(steps * stored[f"{name}_scale"].astype(np.float32), dtype=np.float32)
