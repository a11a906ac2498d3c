"""What is still found in disguise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from detectors.domain import Turn
from feedback.evaluation.attacked import attacked
from feedback.evaluation.systems import Found
from feedback.labelled import LabelledTurn
from rules.attacks.kinds import KINDS
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
    assert found is not None
    assert (found.violations, found.found, found.found_disguised) == (3, 3, 0)
    assert found.lost == 1.0


def test_every_violation_counts_for_the_one_kind_that_was_drawn_for_it() -> None:
    rows = [numbered(number) for number in range(40)]
    found = attacked(Literal("保本"), rows)
    assert found is not None
    names = [item.kind for item in found.kinds]
    assert len(names) > 5
    assert names == [kind for kind in KINDS if kind in names]
    assert sum(item.violations for item in found.kinds) == 40
    assert all(item.found == item.violations > 0 for item in found.kinds)
    # 保保本本 still has the word; every other kind hides it.
    assert {item.kind for item in found.kinds if item.found_disguised} == {"repeated"}
    assert attacked(Literal("保本"), rows) == found


def test_a_kind_that_was_drawn_a_few_times_has_a_wide_interval() -> None:
    found = attacked(Literal("这款"), [promise("这款保本，您放心买")])
    assert found is not None
    (kind,) = found.kinds
    assert (kind.recall.value, kind.recall.high) == (1.0, 1.0)
    assert kind.recall.low < 0.3


def test_what_is_seen_through_is_not_lost() -> None:
    found = attacked(Literal("这款"), [promise(text) for text in PROMISES])
    assert found is not None
    assert found.lost == 0.0


def numbered(number: int) -> LabelledTurn:
    """A promise with its own id, by which its kind is drawn."""
    plain = promise("这款保本，您放心买")
    message = replace(plain.turn.message, message_id=f"m{number}")
    return replace(plain, turn=Turn(message))


def test_without_a_violation_there_is_nothing_to_disguise() -> None:
    compliant = row("今天下雨，路上慢点")
    assert attacked(Literal("雨"), [compliant]) is None
