"""Measures the space of a trained encoder, so that the case memory knows how near is near enough."""

import random
from collections.abc import Sequence

import numpy as np

from detectors.classifier import OnnxClassifier
from detectors.domain import Turn
from detectors.space import EncoderSpace, Floats
from feedback.labelled import LabelledTurn

# Turns of each kind that become the space, and turns that try the margins. The more there are to
# stand beside a case, the more paraphrases it can reach before everyday text answers too.
MOST_KEPT = 1600
KEPT_SHARE = 2 / 3
MOST_TRIED = 2000
MOST_SAMPLE_CASES = 200
MARGINS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12)
# Share of messages that may match any of the sample cases: of what people write all day, and of
# our own compliant messages, which stand close to the line.
EVERYDAY_BUDGET = 0.0005
COMPLIANT_BUDGET = 0.005
SEED = 7


def measure_space(
    classifier: OnnxClassifier,
    compliant: Sequence[LabelledTurn],
    innocent: Sequence[LabelledTurn],
    violating: Sequence[LabelledTurn],
) -> EncoderSpace | None:
    """
    The centre of everyday text, a sample of it, and the margin that keeps the rest silent.

    `compliant` are turns of the corpus that cross no line, `innocent` turns from outside.
    Of each some become the space, with their context and without; others try the margins,
    against `violating` turns as if they were confirmed cases. None when the graph gives no
    embedding or there is nothing to measure on.
    """
    dice = random.Random(SEED)
    parts = [_parted(rows, dice) for rows in (innocent, compliant)]
    shown = [row.turn for kept, _ in parts for row in kept]
    cases = _some(violating, MOST_SAMPLE_CASES, dice)
    if not shown or not cases:
        return None
    known = _places(classifier, [*shown, *(Turn(turn.message) for turn in shown[::2])])
    if not known.size:
        return None
    centre = known.mean(axis=0)
    plain = EncoderSpace(centre, np.zeros((0, len(centre)), dtype=np.float32), 0.0)
    space = EncoderSpace(centre, plain.units(known), 0.0)
    placed = space.units(_places(classifier, [row.turn for row in cases]))
    tried = [
        (space.units(_places(classifier, [row.turn for row in rest])) @ placed.T, budget)
        for (_, rest), budget in zip(parts, (EVERYDAY_BUDGET, COMPLIANT_BUDGET), strict=True)
        if rest
    ]
    return EncoderSpace(centre, space.everyday, _margin(space, placed, tried))


def _parted(
    rows: Sequence[LabelledTurn], dice: random.Random
) -> tuple[list[LabelledTurn], list[LabelledTurn]]:
    """Rows to keep, and others to try the margins on."""
    mixed = _some(rows, MOST_KEPT + MOST_TRIED, dice)
    kept = min(MOST_KEPT, round(len(mixed) * KEPT_SHARE))
    return mixed[:kept], mixed[kept:]


def _some(rows: Sequence[LabelledTurn], most: int, dice: random.Random) -> list[LabelledTurn]:
    return dice.sample(list(rows), min(most, len(rows)))


def _places(classifier: OnnxClassifier, turns: Sequence[Turn]) -> Floats:
    """The first window of each turn."""
    found = [reading.places[0] for reading in classifier.read(turns) if len(reading.places)]
    return np.array(found, dtype=np.float32)


def _margin(space: EncoderSpace, cases: Floats, tried: Sequence[tuple[Floats, float]]) -> float:
    """The smallest margin within every budget; the largest where none is."""
    for margin in MARGINS:
        reach = EncoderSpace(space.centre, space.everyday, margin).reach(cases)
        if all((similarity >= reach).any(axis=1).mean() <= budget for similarity, budget in tried):
            return margin
    return MARGINS[-1]
