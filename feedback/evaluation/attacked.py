"""What a system still finds when those who violate disguise what they say."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from feedback.augment.sources import sources
from feedback.evaluation.systems import System, asked, batches
from feedback.labelled import LabelledTurn

SEED = 7


@dataclass(frozen=True, slots=True)
class Attacked:
    """Of `violations` a system flags `found` as they stand, and `found_disguised` with a part of their evidence in disguise."""

    violations: int
    found: int
    found_disguised: int

    @property
    def lost(self) -> float:
        """Share of all these violations that the disguise hides, in points of recall; below 0 where it betrays them."""
        return (self.found - self.found_disguised) / self.violations


def attacked(system: System, labelled: Sequence[LabelledTurn]) -> Attacked | None:
    """
    Ask a system about every violation with evidence, plain and in one disguise drawn for it.

    A watched word of the evidence is disguised, other characters of it where there is none.
    The disguises are those of `rules.attacks` that more than normalisation is needed for; the
    same rows are disguised the same way each time. None where there is nothing to disguise.
    """
    pairs = [(row, child) for row in asked(labelled) if row.labels for child in _disguised(row)]
    if not pairs:
        return None
    plain, disguised = (_found(system, [pair[side] for pair in pairs]) for side in (0, 1))
    return Attacked(len(pairs), plain, disguised)


def _disguised(row: LabelledTurn) -> list[LabelledTurn]:
    message = row.turn.message
    return sources()["attacks"].children(
        row, random.Random(f"{SEED}:{message.conversation_id}:{message.message_id}")
    )


def _found(system: System, rows: Sequence[LabelledTurn]) -> int:
    return sum(
        bool(found.labels) for part in batches(rows) for found in system.find([row.turn for row in part])
    )
