"""What is still found in disguise."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.domain import Turn
from feedback.evaluation.attacked import Attacked, attacked
from feedback.evaluation.systems import Found
from feedback.labelled import LabelledTurn
from tests.feedback.evaluation.systems import row

PROMISES = [f"这款保本，{end}" for end in ("您放心买", "我给您留额度", "比存款强")]


@dataclass(frozen=True)
class Literal:
    """Flags a text that has the word as it is written."""

    word: str
    name: str = "literal"

    def find(self, turns: Sequence[Turn]) -> list[Found]:
        return [Found(frozenset({"guaranteed_return"} if self.word in t.message.text else ())) for t in turns]


def promise(text: str) -> LabelledTurn:
    plain = row(text, "guaranteed_return")
    start = text.index("保本")
    return LabelledTurn(plain.turn, plain.labels, ((start, start + 2),), plain.tags)


def test_a_literal_search_loses_what_is_disguised() -> None:
    found = attacked(Literal("这款保本，"), [promise(text) for text in PROMISES])
    assert found == Attacked(violations=3, found=3, found_disguised=0)
    assert found.lost == 1.0


def test_what_is_seen_through_is_not_lost() -> None:
    found = attacked(Literal("这款"), [promise(text) for text in PROMISES])
    assert found is not None
    assert found.lost == 0.0


def test_without_a_violation_there_is_nothing_to_disguise() -> None:
    compliant = row("今天下雨，路上慢点")
    assert attacked(Literal("雨"), [compliant]) is None
