"""Decisions are taken up while the process runs; a damaged file is told and keeps the old memory."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.case_watch import CaseWatch, memory_detector
from deploy.missing import MissingDetector
from deploy.repeating import repeating
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


def test_without_decisions_or_model_there_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    assert memory_detector(path, MODEL, CATALOGUE) is None
    write_cases(path, [case(1)])
    assert memory_detector(path, None, CATALOGUE) is None
    assert memory_detector(path, MissingDetector("model", "gone"), CATALOGUE) is None
    assert isinstance(memory_detector(path, MODEL, CATALOGUE), MemoryDetector)


def test_a_damaged_file_at_the_start_degrades_verdicts(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_bytes(b"{}\n")
    missing = memory_detector(tmp_path / "cases.jsonl", MODEL, CATALOGUE)
    assert missing is not None
    assert [True] == [bool(opinion.failure) for opinion in missing.detect([turn("好的")])]


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


def test_what_could_not_be_read_for_another_reason_is_read_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cases.jsonl"
    watch = CaseWatch(path)
    write_cases(path, [case(1)])

    def broken(_: object) -> None:
        raise KeyError("out of step")

    with monkeypatch.context() as patched:
        patched.setattr(MODEL.classifier, "read", broken)
        with pytest.raises(KeyError):
            watch.look(None, MODEL, CATALOGUE)
    changed, memory = watch.look(None, MODEL, CATALOGUE)
    assert changed
    assert isinstance(memory, MemoryDetector)


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
