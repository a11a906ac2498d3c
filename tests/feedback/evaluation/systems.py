"""Systems and turns for the tests of the evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from detectors.domain import Turn
from feedback.evaluation.systems import Found
from feedback.labelled import LabelledTurn
from tests.detectors.samples import message


@dataclass
class WordSystem:
    """Flags `a` where a word stands; keeps what it was asked."""

    word: str
    name: str = "words"
    asked: list[str] = field(default_factory=list)

    def find(self, turns: Sequence[Turn]) -> list[Found]:
        self.asked += [turn.message.text for turn in turns]
        return [
            Found(
                frozenset("a") if self.word in turn.message.text else frozenset(), "？" in turn.message.text
            )
            for turn in turns
        ]


def row(text: str, *labels: str, speaker: str = "advisor", tags: tuple[str, ...] = ()) -> LabelledTurn:
    return LabelledTurn(Turn(message(text, speaker)), frozenset(labels), tags=tags)
