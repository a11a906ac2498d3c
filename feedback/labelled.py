"""A turn with what people say of it: the unit of training and of measuring."""

from dataclasses import dataclass
from typing import Literal

from detectors.domain import Turn


@dataclass(frozen=True, slots=True)
class LabelledTurn:
    """
    A turn with its labels; no label means compliant.

    `evidence` are code-point spans of the message, empty where unknown. `group`
    is who wrote or decided it; `origin` where it came from.
    """

    turn: Turn
    labels: frozenset[str]
    evidence: tuple[tuple[int, int], ...] = ()
    tags: tuple[str, ...] = ()
    group: str = ""
    origin: Literal["seed", "case", "innocent", "file"] = "file"
