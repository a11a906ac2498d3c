"""How often a system flags messages that cross no line: the figure a reviewer feels."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from feedback.evaluation.metrics import Estimate
from feedback.evaluation.rates import wilson
from feedback.evaluation.systems import System, batches
from feedback.labelled import LabelledTurn

SHOWN = 20


@dataclass(frozen=True, slots=True)
class FalseFlags:
    """Flags of one system on one innocent set, with the first of them to read: text and labels."""

    name: str
    messages: int
    flagged: int
    undecided: int
    examples: tuple[tuple[str, str], ...]

    @property
    def per_1000(self) -> Estimate:
        """Flags per 1,000 messages, with a 95 % Wilson interval."""
        return wilson(self.flagged, self.messages, factor=1000)

    @property
    def undecided_per_1000(self) -> float:
        """Undecided per 1,000 messages."""
        return wilson(self.undecided, self.messages, factor=1000).value


def count_false_flags(
    systems: Sequence[System], rows: Iterable[LabelledTurn], name: str
) -> dict[str, FalseFlags]:
    """Ask every system about innocent turns, batch by batch, and count what each flags."""
    messages = 0
    flagged: Counter[str] = Counter()
    undecided: Counter[str] = Counter()
    examples: dict[str, list[tuple[str, str]]] = {system.name: [] for system in systems}
    for part in batches(rows):
        messages += len(part)
        turns = [row.turn for row in part]
        for system in systems:
            for row, found in zip(part, system.find(turns), strict=True):
                undecided[system.name] += found.undecided
                if found.labels:
                    flagged[system.name] += 1
                    if len(examples[system.name]) < SHOWN:
                        shown = row.turn.message.text, ", ".join(sorted(found.labels))
                        examples[system.name].append(shown)
    return {
        key: FalseFlags(name, messages, flagged[key], undecided[key], tuple(shown))
        for key, shown in examples.items()
    }


def pooled(sets: Sequence[FalseFlags]) -> FalseFlags:
    """All innocent sets as one: every message counts the same."""
    return FalseFlags(
        "all",
        sum(item.messages for item in sets),
        sum(item.flagged for item in sets),
        sum(item.undecided for item in sets),
        (),
    )
