"""Decisions are taken up while the process runs; a damaged file is told and keeps the old memory."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from deploy.case_watch import CaseWatch
from deploy.missing import MissingDetector
from deploy.model_watch import RETRY_AFTER_SEC
from deploy.repeating import repeating
from detectors.base import Detector
from detectors.case_file import RememberedCase, write_cases
from detectors.classifier import ModelDetector
from detectors.domain import Speaker
from detectors.memory import MemoryDetector
from rules.loader import load_pack
from tests.detectors.samples import turn
from tests.detectors.test_memory import PITCH, PlacingClassifier

CATALOGUE = load_pack().catalogue
MODEL = ModelDetector(PlacingClassifier(), CATALOGUE)


def case(number: int, text: str = PITCH) -> RememberedCase:
    return RememberedCase(
        case_id=f"case-{number}",
        action="confirmed",
        labels=("implied_guarantee",),
        decided_at=datetime(2026, 3, 1, tzinfo=UTC),
        said=((Speaker.ADVISOR, text),),
    )


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def served(watch: CaseWatch, model: Detector = MODEL) -> MemoryDetector:
    memory = watch.beside(model, CATALOGUE)
    assert isinstance(memory, MemoryDetector)
    return memory


def degraded(memory: Detector | None) -> bool:
    return memory is not None and bool(memory.detect([turn("好的")])[0].failure)


def told(logs: list[Any]) -> list[str]:
    return [entry["event"] for entry in logs]


def broken(_: object) -> None:
    raise KeyError(PITCH)


def test_without_decisions_or_model_there_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    assert CaseWatch(path).beside(MODEL, CATALOGUE) is None
    write_cases(path, [case(1)])
    assert CaseWatch(path).beside(None, CATALOGUE) is None
    assert CaseWatch(path).beside(MissingDetector("model", "gone"), CATALOGUE) is None
    assert isinstance(CaseWatch(path).beside(MODEL, CATALOGUE), MemoryDetector)


def test_a_damaged_file_at_the_start_degrades_verdicts(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_bytes(b"{}\n")
    assert degraded(CaseWatch(tmp_path / "cases.jsonl").beside(MODEL, CATALOGUE))


def test_a_damaged_file_that_is_taken_away_leaves_verdicts_degraded(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_bytes(b"{}\n")
    watch = CaseWatch(path)
    missing = watch.beside(MODEL, CATALOGUE)
    path.unlink()
    assert (False, missing) == watch.look(missing, MODEL, CATALOGUE)
    write_cases(path, [case(1)])
    changed, memory = watch.look(missing, MODEL, CATALOGUE)
    assert (True, False) == (changed, degraded(memory))


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"{}\n")])
def test_another_model_knows_the_cases_whose_file_is_gone_or_damaged(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    path = tmp_path / "cases.jsonl"
    write_cases(path, [case(1)])
    watch = CaseWatch(path)
    first = served(watch)
    spoil(path)
    with capture_logs() as logs:
        assert (False, first) == watch.look(first, MODEL, CATALOGUE)
        other = ModelDetector(PlacingClassifier(), CATALOGUE)
        second = served(watch, other)
        assert (False, second) == watch.look(second, other, CATALOGUE)
    assert ("error", first.version) == (logs[0]["log_level"], logs[0]["kept"])
    assert other.classifier is second.classifier
    assert second.detect([turn(PITCH)])[0].findings
    write_cases(path, [case(1), case(2, "亏了我私人补给您，您放心")])
    changed, third = watch.look(second, other, CATALOGUE)
    assert changed
    assert isinstance(third, MemoryDetector)
    assert 2 == len(third.memory.known)


def test_a_file_that_cannot_be_read_is_tried_again_later_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock = tmp_path / "cases.jsonl", Clock()
    write_cases(path, [case(1)])
    watch = CaseWatch(path, time_sec=clock)
    first = served(watch)
    write_cases(path, [case(1), case(2, "亏了我私人补给您，您放心")])

    def unreadable(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(Path, "read_bytes", unreadable)
        for _ in range(3):
            assert (False, first) == watch.look(first, MODEL, CATALOGUE)
            clock.now += RETRY_AFTER_SEC
    assert ["case_memory_refused"] == told(logs)
    changed, second = watch.look(first, MODEL, CATALOGUE)
    assert changed
    assert isinstance(second, MemoryDetector)
    assert (False, second) == watch.look(second, MODEL, CATALOGUE)


def test_cases_that_cannot_be_placed_degrade_verdicts_until_they_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock = tmp_path / "cases.jsonl", Clock()
    watch = CaseWatch(path, time_sec=clock)
    write_cases(path, [case(1)])
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(MODEL.classifier, "read", broken)
        changed, missing = watch.look(None, MODEL, CATALOGUE)
        assert (True, True) == (changed, degraded(missing))
        clock.now += RETRY_AFTER_SEC
        assert (False, missing) == watch.look(missing, MODEL, CATALOGUE)
    assert ["case_memory_not_loaded"] == told(logs)
    assert PITCH not in str(logs)
    assert (False, missing) == watch.look(missing, MODEL, CATALOGUE)
    clock.now += RETRY_AFTER_SEC
    changed, memory = watch.look(missing, MODEL, CATALOGUE)
    assert changed
    assert isinstance(memory, MemoryDetector)


def test_cases_that_cannot_be_placed_leave_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cases.jsonl"
    write_cases(path, [case(1)])
    watch = CaseWatch(path)
    first = served(watch)
    write_cases(path, [case(1), case(2, "亏了我私人补给您，您放心")])
    monkeypatch.setattr(MODEL.classifier, "read", broken)
    with capture_logs() as logs:
        assert (False, first) == watch.look(first, MODEL, CATALOGUE)
    assert ["case_memory_refused"] == told(logs)


def test_a_decision_is_taken_up_and_a_damaged_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    watch = CaseWatch(path)
    assert (False, None) == watch.look(None, MODEL, CATALOGUE)
    write_cases(path, [case(1)])
    changed, memory = watch.look(None, MODEL, CATALOGUE)
    assert changed
    assert isinstance(memory, MemoryDetector)
    assert memory.detect([turn(PITCH)])[0].findings
    assert (False, memory) == watch.look(memory, MODEL, CATALOGUE)
    write_cases(path, [case(1), case(2, "亏了我私人补给您，您放心")])
    changed, second = watch.look(memory, MODEL, CATALOGUE)
    assert changed
    assert second is not None
    assert second.version != memory.version
    path.write_bytes(b"damaged\n")
    assert (False, second) == watch.look(second, MODEL, CATALOGUE)
    path.unlink()
    assert (False, second) == watch.look(second, MODEL, CATALOGUE)


def test_a_task_is_repeated_and_its_failures_do_not_end_it() -> None:
    calls: list[int] = []

    def task() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("the store is away")

    with repeating(task, every_s=0.01):
        wait_for(lambda: len(calls) > 3)
    ended = len(calls)
    assert ended == len(calls)


def wait_for(condition: Callable[[], bool]) -> None:
    import time

    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("nothing happened")
