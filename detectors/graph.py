"""An exported encoder with its heads, run by ONNX Runtime on one core."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from detectors.errors import ModelError
from detectors.tokens import Window, collate

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WindowReading:
    """
    What a graph says of one window.

    `logits` has one value per label, `token_logits` a row per token and a column per label.
    `place` is where the window stands in the encoder's space; None for a graph that was
    exported without.
    """

    logits: Floats
    token_logits: Floats
    place: Floats | None = None


class Graph:
    """
    Reads windows, each by itself.

    The quantised graph scales its activations by what else is in the batch, so a batch
    would make a verdict depend on its neighbours; and on one core it is no faster. Raises
    ModelError when the file does not load.
    """

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own unrelated types
            raise ModelError(f"{path} does not load: {error}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def read(self, item: Window) -> WindowReading:
        """What the graph says of a window."""
        outputs = self._session.run(self._outputs, collate([item]).feed())
        return WindowReading(*(output[0] for output in outputs))
