"""
The second reader: a larger encoder that reads again what the first one is not sure is innocent.

What people write all day the first encoder puts far below the line, so the second one costs
little there; near the line, where a small encoder's understanding ends, both are heard.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.decision import any_violation
from detectors.graph import Graph, WindowReading
from detectors.manifest import Manifest, SecondReading, listed_file
from detectors.tokens import Window

SECOND_FILE = "second.onnx"

Floats = npt.NDArray[np.float32]


class SecondReader:
    """A graph of the same labels and vocabulary as the first, and when it is asked."""

    def __init__(self, graph: Graph, file: Path, terms: SecondReading) -> None:
        self.graph = graph
        self.file = file
        self.terms = terms

    def asked(self, logits: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Whether windows are read again, by the first encoder's logits, over the last axis."""
        with np.errstate(over="ignore"):
            chances = np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)
        return np.asarray(any_violation(chances) >= self.terms.reads_from)

    def joined(self, item: Window, first: WindowReading) -> WindowReading:
        """What both say of a window: their mean; the place is the first one's."""
        if not self.asked(first.logits):
            return first
        second = self.graph.read(item)
        share = np.float32(self.terms.share)
        return WindowReading(
            first.logits + share * (second.logits - first.logits),
            first.token_logits + share * (second.token_logits - first.token_logits),
            first.place,
        )


def read_second(folder: Path, manifest: Manifest) -> SecondReader | None:
    """The second reader of a model folder, None where it has none. Raises ModelError when it does not load."""
    if manifest.second is None:
        return None
    file = listed_file(folder, manifest, SECOND_FILE)
    return SecondReader(Graph(file), file, manifest.second)
