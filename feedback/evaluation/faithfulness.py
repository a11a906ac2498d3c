"""Is the evidence what the model decides by? Blot it out, and the score must fall more than by other words."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.classifier import OnnxClassifier, evidence_spans
from detectors.domain import Turn

# No character of any vocabulary: what stands there says nothing.
BLANK = "□"
LEAST_LEFT = 3


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """
    Over `turns` messages, for the likeliest label of each.

    `drop` is the mean fall of its probability without the model's evidence, `random_drop`
    without as many other characters, or without all others where there are fewer. `fell` is the share in which it fell at all, `more`
    the share in which it fell more than with the other characters gone.
    """

    turns: int
    drop: float
    random_drop: float
    fell: float
    more: float


def faithfulness(classifier: OnnxClassifier, turns: Sequence[Turn], *, seed: int = 7) -> Faithfulness | None:
    """
    Blot out evidence, and elsewhere as much, and read again. None where no turn can be used.

    Used are messages in which a few characters are no evidence.
    """
    dice = random.Random(seed)
    chosen: list[tuple[int, float]] = []
    without: list[Turn] = []
    others: list[Turn] = []
    for turn, reading in zip(turns, classifier.read(turns), strict=True):
        if not reading.probabilities.size or not turn.message.text.strip():
            continue
        column = int(reading.probabilities.argmax())
        inside: set[int] = set()
        for start, end in evidence_spans(reading.saliency[:, column]):
            left, right = reading.text.original_span(start, end)
            inside.update(range(left, right))
        rest = [i for i in range(len(turn.message.text)) if i not in inside]
        if not inside or len(rest) < LEAST_LEFT:
            continue
        chosen.append((column, float(reading.probabilities[column])))
        without.append(_blotted(turn, inside))
        others.append(_blotted(turn, set(dice.sample(rest, min(len(inside), len(rest))))))
    if not chosen:
        return None
    before = np.array([score for _, score in chosen])
    columns = [column for column, _ in chosen]
    gone, elsewhere = (
        np.array(
            [
                reading.probabilities[column]
                for reading, column in zip(classifier.read(part), columns, strict=True)
            ]
        )
        for part in (without, others)
    )
    return Faithfulness(
        turns=len(chosen),
        drop=float((before - gone).mean()),
        random_drop=float((before - elsewhere).mean()),
        fell=float((gone < before).mean()),
        more=float((gone < elsewhere).mean()),
    )


def _blotted(turn: Turn, places: set[int]) -> Turn:
    text = "".join(BLANK if i in places else char for i, char in enumerate(turn.message.text))
    return Turn(replace(turn.message, text=text), turn.before)
