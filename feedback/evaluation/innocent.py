"""How often a judge flags messages that cross no line: the figure a reviewer feels."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from detectors.domain import Outcome, Turn, Verdict
from feedback.labelled import LabelledTurn

BATCH = 64
SHOWN = 20


class Judge(Protocol):
    """What gives verdicts."""

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        """One verdict per turn, in order."""


@dataclass(frozen=True, slots=True)
class FalseFlags:
    """Flags on one innocent set, with the first of them to read."""

    name: str
    messages: int
    flagged: int
    undecided: int
    examples: tuple[tuple[str, str], ...]

    @property
    def per_1000(self) -> float:
        """Flags per 1,000 messages."""
        return 1000 * self.flagged / self.messages if self.messages else 0.0

    @property
    def undecided_per_1000(self) -> float:
        """Undecided per 1,000 messages."""
        return 1000 * self.undecided / self.messages if self.messages else 0.0


def batches(rows: Iterable[LabelledTurn], size: int = BATCH) -> Iterator[list[LabelledTurn]]:
    """Rows in lists of at most `size`."""
    source = iter(rows)
    while part := list(islice(source, size)):
        yield part


def count_false_flags(judge: Judge, rows: Iterable[LabelledTurn], name: str) -> FalseFlags:
    """Judge innocent turns and count what is flagged."""
    messages = flagged = undecided = 0
    examples: list[tuple[str, str]] = []
    for part in batches(rows):
        for row, verdict in zip(part, judge.judge([row.turn for row in part]), strict=True):
            messages += 1
            undecided += verdict.outcome is Outcome.UNDECIDED
            if verdict.flagged:
                flagged += 1
                if len(examples) < SHOWN:
                    examples.append(
                        (row.turn.message.text, ", ".join(finding.label for finding in verdict.findings))
                    )
    return FalseFlags(name, messages, flagged, undecided, tuple(examples))
