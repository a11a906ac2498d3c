"""Detectors that fail while judging are told in the log and counted, and no word of a message is in either."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from deploy.failing import WELL_AFTER_SEC, FailureLog
from deploy.missing import MissingDetector
from detectors.base import Opinion
from detectors.cascade import Cascade
from detectors.domain import Outcome, Turn
from detectors.rule_detector import RuleDetector
from rules.engine import Engine
from rules.loader import load_pack
from streams.metrics import WorkerMetrics
from tests.detectors.samples import AT, VERSIONS, turn

PACK = load_pack()
CHAT = "这款保本，您放心"


class Breaking:
    """Says what was said in its errors, as libraries do; `error` can be taken away."""

    name = "model"
    version = "1"

    def __init__(self) -> None:
        self.error: type[Exception] | None = RuntimeError

    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        if self.error is not None:
            raise self.error(turns[0].message.text)
        return [Opinion()] * len(turns)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def events(logs: Sequence[object]) -> list[str]:
    return [entry["event"] for entry in logs if isinstance(entry, dict)]


def test_a_failing_detector_is_named_with_the_kind_of_error_once_until_it_works_again() -> None:
    detector, clock = Breaking(), Clock()
    watch = FailureLog(time_sec=clock)
    cascade = Cascade([detector], PACK.catalogue, VERSIONS, lambda: AT, watch=watch)
    with capture_logs() as logs:
        for _ in range(3):
            cascade.judge([turn(CHAT), turn(CHAT)])
        detector.error = MemoryError
        cascade.judge([turn(CHAT)])
        detector.error = None
        cascade.judge([turn("您好")])  # one batch may go well by luck
        detector.error = RuntimeError
        cascade.judge([turn(CHAT)])
        detector.error = None
        clock.now = WELL_AFTER_SEC
        cascade.judge([turn("不判客户", speaker="customer")])
        assert ["detector_failed", "detector_failed"] == events(logs)
        cascade.judge([turn("您好")])
        assert ["detector_failed", "detector_failed", "detector_works_again"] == events(logs)
        detector.error = RuntimeError
        cascade.judge([turn(CHAT)])
    assert "detector_failed" == events(logs)[-1]
    assert [("model", "RuntimeError", "error"), ("model", "MemoryError", "error")] == [
        (entry["detector"], entry["error"], entry["log_level"]) for entry in logs[:2]
    ]
    assert CHAT not in str(logs)


def test_degraded_verdicts_are_counted_by_detector_and_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RecursionError(CHAT)

    metrics = WorkerMetrics()
    rules, missing = RuleDetector(Engine(PACK)), MissingDetector("memory", "damaged")
    cascade = Cascade(
        [rules, Breaking(), missing],
        PACK.catalogue,
        VERSIONS,
        lambda: AT,
        watch=FailureLog(metrics.count_degraded),
    )
    monkeypatch.setattr(Engine, "hits", broken)
    with capture_logs() as logs:
        verdicts = cascade.judge([turn(CHAT), turn("能保本吗", speaker="customer"), turn("您好")])
    assert [Outcome.UNDECIDED, Outcome.CLEAN, Outcome.UNDECIDED] == [each.outcome for each in verdicts]
    assert ["rules", "model"] == [
        entry["detector"] for entry in logs
    ]  # the third was told when it was loaded
    for detector, error in (
        ("rules", "RecursionError"),
        ("model", "RuntimeError"),
        ("memory", "not_loaded"),
    ):
        labels = {"detector": detector, "error": error}
        assert 2.0 == metrics.registry.get_sample_value("redline_degraded_verdicts_total", labels)
