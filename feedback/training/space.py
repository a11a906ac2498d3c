"""Measures the space of a trained encoder, so that the case memory knows how near is near enough."""

import random
from collections.abc import Sequence

import numpy as np

from detectors.classifier import OnnxClassifier
from detectors.domain import Turn
from detectors.space import EncoderSpace, Floats
from feedback.labelled import LabelledTurn

MOST_EVERYDAY = 1600
MOST_SAMPLE_CASES = 200
MARGINS = (0.01, 0.02, 0.04, 0.06, 0.08, 0.12)
# Of everyday messages that took no part, with the sample cases in memory.
FALSE_MATCH_BUDGET = 0.0005
SEED = 7


def measure_space(
    classifier: OnnxClassifier,
    compliant: Sequence[LabelledTurn],
    innocent: Sequence[LabelledTurn],
    violating: Sequence[LabelledTurn],
) -> EncoderSpace | None:
    """
    The centre of everyday text, a sample of it, and the margin that keeps the rest silent.

    `compliant` are turns of the corpus that cross no line, `innocent` turns from outside:
    half of each sample becomes the space, with its context and without; the other half
    tries the margins, against `violating` turns as if they were confirmed cases. None when
    the graph gives no embedding or there is nothing to measure on.
    """
    dice = random.Random(SEED)
    outside = _some(innocent, MOST_EVERYDAY // 2, dice)
    everyday = [*outside, *_some(compliant, MOST_EVERYDAY - len(outside), dice)]
    dice.shuffle(everyday)
    half = len(everyday) // 2
    cases = _some(violating, MOST_SAMPLE_CASES, dice)
    if not half or not cases:
        return None
    shown = [row.turn for row in everyday[:half]]
    known = _places(classifier, [*shown, *(Turn(turn.message) for turn in shown[::2])])
    if not known.size:
        return None
    centre = known.mean(axis=0)
    plain = EncoderSpace(centre, np.zeros((0, len(centre)), dtype=np.float32), 0.0)
    space = EncoderSpace(centre, plain.units(known), 0.0)
    rest = space.units(_places(classifier, [row.turn for row in everyday[half:]]))
    placed = space.units(_places(classifier, [row.turn for row in cases]))
    return EncoderSpace(centre, space.everyday, _margin(space, rest, placed))


def _some(rows: Sequence[LabelledTurn], most: int, dice: random.Random) -> list[LabelledTurn]:
    return dice.sample(list(rows), min(most, len(rows)))


def _places(classifier: OnnxClassifier, turns: Sequence[Turn]) -> Floats:
    """The first window of each turn."""
    found = [reading.places[0] for reading in classifier.read(turns) if len(reading.places)]
    return np.array(found, dtype=np.float32)


def _margin(space: EncoderSpace, rest: Floats, cases: Floats) -> float:
    """The smallest margin within the budget; the largest where none is."""
    similarity = rest @ cases.T
    for margin in MARGINS:
        reach = EncoderSpace(space.centre, space.everyday, margin).reach(cases)
        if (similarity >= reach).any(axis=1).mean() <= FALSE_MATCH_BUDGET:
            return margin
    return MARGINS[-1]
