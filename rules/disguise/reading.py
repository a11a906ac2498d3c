"""A text with its disguised words replaced."""

from collections.abc import Sequence
from dataclasses import dataclass

from rules.text import NormalisedText, replaced

# Something was only taken out between two characters; no word stands for it.
SEAM = "ornament"


@dataclass(frozen=True, slots=True)
class Disguise:
    """A stretch of normalised text and the word that it stands for."""

    start: int
    end: int
    word: str
    how: str


@dataclass(frozen=True, slots=True)
class Reading:
    """
    A text with its disguises replaced. `changed` are their spans in `text.text`.

    Where something was only taken out, the span is empty: what counts must lie on both sides.
    """

    text: NormalisedText
    changed: tuple[tuple[int, int], ...]
    disguises: tuple[Disguise, ...]


def apart(disguises: Sequence[Disguise], others: Sequence[Disguise]) -> list[Disguise]:
    """The longest first, then those of likelier readings, none across another; in text order."""
    kept: list[Disguise] = []
    for group in (disguises, others):
        for item in sorted(group, key=lambda item: item.start - item.end):
            if all(item.end <= other.start or other.end <= item.start for other in kept):
                kept.append(item)
    return sorted(kept, key=lambda item: item.start)


def read(text: NormalisedText, disguises: Sequence[Disguise]) -> Reading:
    """The text with each disguise replaced by its word. They are in order and apart."""
    changed = []
    shift = 0
    for item in disguises:
        start = item.start + shift
        changed.append((start, start if item.how == SEAM else start + len(item.word)))
        shift += len(item.word) - (item.end - item.start)
    edits = [(item.start, item.end, item.word) for item in disguises]
    return Reading(replaced(text, edits), tuple(changed), tuple(disguises))
