"""Labelled turns as encoder inputs with targets."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectors.domain import Speaker, Turn
from detectors.tokens import SPECIAL_TOKENS, UNKNOWN, Batch, InputLimits, Tokeniser, Window, collate, windows
from feedback.labelled import LabelledTurn
from feedback.training.batching import SHAPE_STEP

CONTEXT_TAGS = frozenset({"context", "multi_message"})


@dataclass(frozen=True, slots=True)
class Example:
    """
    One window with its targets.

    `marks` has a row per token of the window's own message (without `[CLS]`) and a
    column per label, 1 inside evidence; None where no evidence is known. `reviewed`
    says that a reviewer decided it.
    """

    item: Window
    without_context: Window
    targets: npt.NDArray[np.float32]
    marks: npt.NDArray[np.float32] | None
    needs_context: bool
    turn: Turn
    reviewed: bool = False


def judged(rows: Iterable[LabelledTurn]) -> list[LabelledTurn]:
    """The turns that the model is asked about: not the customers'."""
    return [
        row
        for row in rows
        if row.turn.message.speaker is not Speaker.CUSTOMER and row.turn.message.text.strip()
    ]


def make_examples(
    rows: Sequence[LabelledTurn], labels: Sequence[str], vocabulary: Tokeniser, limits: InputLimits
) -> list[Example]:
    """
    One example per window. A window without any of the evidence of a long message teaches nothing and is left out.

    Nor does any window of a long message whose violation is known to stand somewhere in it, but not where.
    """
    examples: list[Example] = []
    for row in rows:
        text, items = windows(row.turn, vocabulary, limits)
        bare = windows(Turn(row.turn.message), vocabulary, limits)[1]
        targets = np.array([label in row.labels for label in labels], dtype=np.float32)
        inside = np.zeros(len(text.text), dtype=np.float32)
        for start, end in row.evidence:
            for index, (left, right) in enumerate(zip(text.starts, text.ends, strict=True)):
                if left < end and start < right:
                    inside[index] = 1
        known = bool(row.evidence) or not row.labels
        for item, alone in zip(items, bare, strict=True):
            part = item.to_tokens(inside)
            if len(items) > 1 and row.labels and not part.any():
                continue
            marks = part[:, None] * targets[None, :] if known else None
            needs_context = bool(CONTEXT_TAGS.intersection(row.tags))
            reviewed = row.origin == "case"
            examples.append(Example(item, alone, targets, marks, needs_context, row.turn, reviewed))
    return examples


@dataclass(frozen=True, slots=True)
class TargetBatch:
    """A padded batch with its targets. `mark_mask` is 1 where a token target is known."""

    inputs: Batch
    targets: Tensor
    marks: Tensor
    mark_mask: Tensor


def batch_of(
    examples: Sequence[Example],
    *,
    labels: int,
    dice: random.Random,
    character_dropout: float,
    context_dropout: float,
    noise: int = UNKNOWN,
) -> TargetBatch:
    """Collate, hiding some tokens behind `noise`, and some contexts."""
    chosen = [
        example.without_context
        if not example.needs_context and dice.random() < context_dropout
        else example.item
        for example in examples
    ]
    inputs = collate([_noisy(item, dice, character_dropout, noise) for item in chosen], multiple=SHAPE_STEP)
    shape = (*inputs.ids.shape, labels)
    marks, mask = np.zeros(shape, dtype=np.float32), np.zeros(shape[:2], dtype=np.float32)
    for row, example in enumerate(examples):
        if example.marks is not None:
            size = len(example.marks)
            marks[row, 1 : size + 1] = example.marks
            mask[row, 1 : size + 1] = 1
    targets = np.stack([example.targets for example in examples])
    return TargetBatch(inputs, torch.from_numpy(targets), torch.from_numpy(marks), torch.from_numpy(mask))


def _noisy(item: Window, dice: random.Random, share: float, noise: int) -> Window:
    if not share:
        return item
    ids = [noise if code >= len(SPECIAL_TOKENS) and dice.random() < share else code for code in item.ids]
    return replace(item, ids=ids)
