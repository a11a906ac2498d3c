"""One run over several systems: the same turns, counted alike."""

from collections.abc import Sequence

import pytest

from detectors.base import Opinion
from detectors.domain import Speaker, Turn
from feedback.corpus.dialogues import Dialogue
from feedback.evaluation.suite import measure
from feedback.evaluation.systems import SharedDetector
from tests.detectors.samples import turn
from tests.feedback.evaluation.systems import WordSystem, row

LABELS = ["a", "b"]


def test_every_system_is_asked_about_the_same_turns() -> None:
    first, second = WordSystem("保本", "first"), WordSystem("稳", "second")
    rows = [row("保本的", "a"), row("稳的", "a"), row("好的"), row("能保本吗", speaker="customer")]
    reports = measure([first, second], rows, {"quiet": [row("稳了"), row("吃了吗")]}, {}, LABELS)
    assert first.asked == second.asked == ["保本的", "稳的", "好的", "稳了", "吃了吗"]
    assert ["first", "second"] == list(reports)
    assert 0.5 == reports["first"].evaluation.any_violation.recall.value
    assert (0, 1) == (reports["first"].innocent[0].flagged, reports["second"].innocent[0].flagged)
    assert 500.0 == reports["second"].false_flags.value
    assert not reports["first"].on_own_text
    assert [("稳的", ("a",), ())] == [(w.text, w.gold, w.found) for w in reports["first"].wrong]


def test_without_innocent_sets_the_own_compliant_messages_count_and_it_is_said() -> None:
    report = measure([WordSystem("保本")], [row("保本", "a"), row("不保本")], {}, {}, LABELS)["words"]
    assert report.on_own_text
    assert 1000.0 == report.false_flags.value


def test_a_set_of_customers_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="no messages"):
        measure([WordSystem("保本")], [row("保本吗", speaker="customer")], {}, {}, LABELS)


def test_a_probe_asks_about_the_caller_only() -> None:
    calls: list[Dialogue] = [
        [(Speaker.CUSTOMER, "您好，保本项目"), (Speaker.ADVISOR, "真的吗")],
        [(Speaker.CUSTOMER, "您好"), (Speaker.ADVISOR, "保本吗")],
    ]
    system = WordSystem("保本")
    report = measure([system], [row("好")], {}, {"calls": calls}, LABELS)["words"]
    (found,) = report.probes
    assert (2, 1, 1, ("您好",)) == (found.calls, found.flagged, found.flags, found.missed)
    assert 0.5 == found.share.value
    assert "真的吗" not in system.asked


class CountingDetector:
    name = "counting"
    version = "1"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        self.calls += 1
        return [Opinion(failure=item.message.text) for item in turns]


def test_a_shared_detector_judges_a_batch_once() -> None:
    counting = CountingDetector()
    shared = SharedDetector(counting)
    batch = [turn("一"), turn("二")]
    assert shared.detect(batch) == shared.detect(list(batch))
    assert 1 == counting.calls
    assert ["三"] == [opinion.failure for opinion in shared.detect([turn("三")])]
    assert 2 == counting.calls
