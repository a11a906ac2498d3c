"""How far two readers of the corpus agree."""

import math
from pathlib import Path

import pytest

from feedback.corpus.agreement import (
    COMPLIANT_READING,
    LADDER_READING,
    Agreement,
    SecondReading,
    agreement,
    read_second_readings,
)
from feedback.corpus.errors import CorpusError
from feedback.corpus.seed import read_conversations, seed_files
from rules.loader import load_pack

LABELS = list(load_pack().catalogue.labels)


def reading(first: dict[str, list[str]], second: dict[str, list[str]]) -> SecondReading:
    return SecondReading(id="c", reader="r", judged=list(range(10)), first=first, second=second)


def test_readers_who_say_the_same_agree_fully() -> None:
    found = agreement([reading({"1": ["a"]}, {"1": ["a"]})], ["a", "b"])
    assert found["a"].kappa == found["any"].kappa == 1
    assert math.isnan(found["b"].kappa)


def test_kappa_is_what_the_textbook_gives() -> None:
    # Both yes 20, first only 5, second only 10, both no 15: observed 0.7, chance 0.5.
    assert Agreement(messages=50, first=25, second=30, both=20).kappa == pytest.approx(0.4)


def test_another_label_is_a_disagreement_on_the_label_but_not_on_the_violation() -> None:
    found = agreement([reading({"1": ["a"]}, {"1": ["b"]})], ["a", "b"])
    assert found["any"].kappa == 1
    assert found["a"].kappa <= 0


def test_nothing_read_twice_is_told() -> None:
    with pytest.raises(CorpusError, match="read twice"):
        agreement([], ["a"])


def test_at_least_15_percent_of_the_judged_messages_are_read_twice() -> None:
    readings = {item.id: item for item in read_second_readings()}
    judged = {
        conversation.id: sum(turn[0] != "c" for turn in conversation.turns)
        for _, conversation in read_conversations(seed_files())
    }
    assert not readings.keys() - judged.keys()
    assert all(len(item.judged) == judged[item.id] for item in readings.values())
    assert sum(judged[key] for key in readings) >= 0.15 * sum(judged.values())
    assert {
        label for item in readings.values() for labels in item.second.values() for label in labels
    } <= set(LABELS)


@pytest.mark.parametrize("path", [LADDER_READING, COMPLIANT_READING], ids=lambda path: path.stem)
def test_further_readings_are_of_messages_that_stand_in_the_corpus(path: Path) -> None:
    turns = {conversation.id: conversation.turns for _, conversation in read_conversations(seed_files())}
    readings = list(read_second_readings(path))
    assert len({item.id for item in readings}) == len(readings)
    for item in readings:
        assert all(turns[item.id][number][0] != "c" for number in item.judged)
        assert {int(number) for number in (*item.first, *item.second)} <= set(item.judged)
        assert {label for labels in (*item.first.values(), *item.second.values()) for label in labels} <= set(
            LABELS
        )
