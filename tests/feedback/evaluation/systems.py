"""Systems and turns for the tests of the evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from detectors.domain import Turn
from feedback.evaluation.systems import Found
from feedback.labelled import LabelledTurn
from tests.detectors.samples import message


@dataclass
class WordSystem:
    """Flags `a` where a word stands, and marks the whole message if it `marks`; keeps what it was asked."""

    word: str
    name: str = "words"
    marks: bool = False
    asked: list[str] = field(default_factory=list)

    def find(self, turns: Sequence[Turn]) -> list[Found]:
        self.asked += [turn.message.text for turn in turns]
        return [self._found(turn.message.text) for turn in turns]

    def _found(self, text: str) -> Found:
        labels = frozenset("a") if self.word in text else frozenset[str]()
        evidence = {label: ((0, len(text)),) for label in labels} if self.marks else None
        return Found(labels, "？" in text, evidence)


def row(text: str, *labels: str, speaker: str = "advisor", tags: tuple[str, ...] = ()) -> LabelledTurn:
    return LabelledTurn(Turn(message(text, speaker)), frozenset(labels), tags=tags)
