"""What a system still finds when those who violate disguise what they say."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from feedback.augment.data import watched_words
from feedback.augment.disguised import Disguised
from feedback.evaluation.metrics import Estimate
from feedback.evaluation.rates import wilson
from feedback.evaluation.systems import System, asked, batches
from feedback.labelled import LabelledTurn
from rules.attacks.kinds import KINDS

SEED = 7


@dataclass(frozen=True, slots=True)
class AttackedByKind:
    """Of `violations` that one kind of disguise was drawn for, those flagged as they stand and in this disguise."""

    kind: str
    violations: int
    found: int
    found_disguised: int

    @property
    def recall(self) -> Estimate:
        """Share flagged in disguise, with a 95 % Wilson interval: a kind may have been drawn a few times only."""
        return wilson(self.found_disguised, self.violations)

    @property
    def means(self) -> str:
        """The kind in words, with an example."""
        return KINDS[self.kind].means


@dataclass(frozen=True, slots=True)
class Attacked:
    """How many violations a system flags as they stand, and with a part of their evidence in disguise, by kind of it."""

    kinds: tuple[AttackedByKind, ...]

    @property
    def violations(self) -> int:
        """How many were disguised."""
        return sum(item.violations for item in self.kinds)

    @property
    def found(self) -> int:
        """How many of them are flagged as they stand."""
        return sum(item.found for item in self.kinds)

    @property
    def found_disguised(self) -> int:
        """How many of them are flagged in disguise."""
        return sum(item.found_disguised for item in self.kinds)

    @property
    def lost(self) -> float:
        """Share of all these violations that the disguise hides, in points of recall; below 0 where it betrays them."""
        return (self.found - self.found_disguised) / self.violations


def attacked(system: System, labelled: Sequence[LabelledTurn]) -> Attacked | None:
    """
    Ask a system about every violation with evidence, plain and in one disguise drawn for it.

    A watched word of the evidence is disguised, other characters of it where there is none.
    The disguises are those of `rules.attacks` that more than normalisation is needed for; the
    same rows are disguised the same way each time. The kinds that were drawn come in the order of
    `KINDS`. None where there is nothing to disguise.
    """
    plain: list[LabelledTurn] = []
    disguised: list[LabelledTurn] = []
    drawn: list[str] = []
    disguises = Disguised(watched_words())
    for row in asked(labelled):
        found = disguises.drawn(row, _dice(row)) if row.labels else None
        if found:
            plain.append(row)
            drawn.append(found[0])
            disguised.append(found[1])
    if not drawn:
        return None
    outcomes = list(zip(drawn, _flagged(system, plain), _flagged(system, disguised), strict=True))
    by_kind = {kind: [(before, after) for name, before, after in outcomes if name == kind] for kind in KINDS}
    return Attacked(
        tuple(
            AttackedByKind(
                kind, len(pairs), sum(before for before, _ in pairs), sum(after for _, after in pairs)
            )
            for kind, pairs in by_kind.items()
            if pairs
        )
    )


def _dice(row: LabelledTurn) -> random.Random:
    message = row.turn.message
    return random.Random(f"{SEED}:{message.conversation_id}:{message.message_id}")


def _flagged(system: System, rows: Sequence[LabelledTurn]) -> list[bool]:
    return [bool(found.labels) for part in batches(rows) for found in system.find([row.turn for row in part])]
