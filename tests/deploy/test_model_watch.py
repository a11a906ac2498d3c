"""A model that does not load is told once for each state of the store and tried again; the rules go on untouched."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from structlog.testing import capture_logs

from deploy import wiring
from deploy.model_watch import RETRY_AFTER_SEC
from deploy.settings import Settings
from deploy.wiring import ReloadingJudge, model_store
from detectors.case_file import write_cases
from detectors.model_store import CURRENT_FILE
from rules.lock import LOCK_FILE
from tests.deploy.model_folders import make_model
from tests.deploy.test_case_watch import Clock, case
from tests.detectors.samples import turn
from tests.detectors.test_memory import PITCH, PlacingClassifier

AT = datetime(2026, 3, 1, tzinfo=UTC)
PROMISE = "这款保本，亏了我补给您"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", models=tmp_path / "models")


@pytest.fixture
def promoted(settings: Settings, tmp_path: Path) -> Path:
    """A model in service that is intact; its folder in the store."""
    store = model_store(settings)
    store.add(make_model(tmp_path / "made", "2026-03-01"), at=AT, actor="test")
    store.promote("2026-03-01", at=AT, actor="test")
    return store.root / "2026-03-01"


def damage(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"half a model")


def errors(logs: list[Any]) -> list[str]:
    return [entry["event"] for entry in logs if entry["log_level"] == "error"]


def test_a_damaged_model_is_told_once_and_taken_up_when_it_is_mended(
    settings: Settings, promoted: Path, tmp_path: Path
) -> None:
    damage(promoted)
    with capture_logs() as logs:
        judge = ReloadingJudge(settings)
        rules = judge.judge([turn(PROMISE)])[0].versions.pack
        for _ in range(3):
            judge.follow()
    assert ["model_not_loaded"] == errors(logs)
    assert judge.judge([turn(PROMISE)])[0].degraded

    (promoted / "model.onnx").write_bytes(b"another half")
    with capture_logs() as logs:
        for _ in range(3):
            judge.follow()
    assert ["model_swap_refused"] == errors(logs)

    shutil.copy(tmp_path / "made" / "model.onnx", promoted / "model.onnx")
    with capture_logs() as logs:
        for _ in range(3):
            judge.follow()
    assert [] == errors(logs)
    assert (rules, "2026-03-01") == (judge.versions.pack, judge.versions.model)


def test_a_damaged_pointer_is_told_once_and_taken_up_when_it_is_set_again(
    settings: Settings, promoted: Path
) -> None:
    pointer = promoted.parent / CURRENT_FILE
    pointer.write_bytes(b"{}")
    with capture_logs() as logs:
        judge = ReloadingJudge(settings)
        for _ in range(3):
            judge.follow()
    assert ["model_not_loaded"] == errors(logs)
    model_store(settings).promote("2026-03-01", at=AT, actor="test")
    judge.follow()
    assert "2026-03-01" == judge.versions.model


def test_a_promoted_model_that_does_not_load_leaves_the_old_one_and_the_same_rules(
    settings: Settings, promoted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = ReloadingJudge(settings)
    monkeypatch.setattr(wiring, "Engine", lambda _: pytest.fail("the rules were built again"))
    store = model_store(settings)
    store.add(make_model(tmp_path / "next", "2026-03-08"), at=AT, actor="test")
    store.promote("2026-03-08", at=AT, actor="test")
    damage(promoted.parent / "2026-03-08")
    with capture_logs() as logs:
        for _ in range(3):
            judge.follow()
    assert ["model_swap_refused"] == errors(logs)
    assert "2026-03-01" == judge.versions.model
    store.promote("2026-03-01", at=AT, actor="test")
    with capture_logs() as logs:
        judge.follow()
    assert [] == errors(logs)


def test_a_promoted_model_serves_beside_the_same_rules(
    settings: Settings, promoted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = ReloadingJudge(settings)
    monkeypatch.setattr(wiring, "Engine", lambda _: pytest.fail("the rules were built again"))
    store = model_store(settings)
    store.add(make_model(tmp_path / "next", "2026-03-08"), at=AT, actor="test")
    store.promote("2026-03-08", at=AT, actor="test")
    with capture_logs() as logs:
        for _ in range(2):
            judge.follow()
    assert ["model_swapped"] == [entry["event"] for entry in logs if entry["event"].startswith("model_s")]
    assert "2026-03-08" == judge.versions.model
    assert "rule" in {source.kind for f in judge.judge([turn(PROMISE)])[0].findings for source in f.sources}


def test_a_model_that_could_not_be_loaded_for_a_while_serves_without_a_touch_of_its_folder(
    settings: Settings, promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()

    def out_of_memory(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(ort, "InferenceSession", out_of_memory)
        judge = ReloadingJudge(settings, time_sec=clock)
        for _ in range(3):
            clock.now += RETRY_AFTER_SEC
            judge.follow()
    assert ["model_not_loaded"] == errors(logs)
    judge.follow()
    assert judge.judge([turn(PROMISE)])[0].degraded
    clock.now += RETRY_AFTER_SEC
    judge.follow()
    assert promoted.name == judge.versions.model


def test_another_reason_why_a_model_does_not_load_is_told(
    settings: Settings, promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, reasons = Clock(), iter(["out of memory", "out of memory", "Input/output error"])

    def failing(*_: object, **__: object) -> None:
        raise RuntimeError(next(reasons))

    monkeypatch.setattr(ort, "InferenceSession", failing)
    with capture_logs() as logs:
        judge = ReloadingJudge(settings, time_sec=clock)
        for _ in range(2):
            clock.now += RETRY_AFTER_SEC
            judge.follow()
    assert ["model_not_loaded", "model_swap_refused"] == errors(logs)
    assert [] == list(reasons)


@pytest.mark.parametrize("unreadable", ["manifest.json", CURRENT_FILE])
def test_a_store_that_cannot_be_read_for_a_while_degrades_verdicts_and_ends_nothing(
    settings: Settings, promoted: Path, monkeypatch: pytest.MonkeyPatch, unreadable: str
) -> None:
    clock, read = Clock(), Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == unreadable:
            raise OSError(5, "Input/output error")
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", failing)
        judge = ReloadingJudge(settings, time_sec=clock)
        judge.follow()
        assert judge.judge([turn(PROMISE)])[0].degraded
    clock.now += RETRY_AFTER_SEC
    judge.follow()
    assert promoted.name == judge.versions.model


def test_a_model_swap_keeps_the_cases_whose_file_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The classifiers are stood in for: the space of a shipped model is none that tests can rely on."""
    monkeypatch.setattr(wiring, "OnnxClassifier", lambda *_, **__: PlacingClassifier())
    write_cases(settings.case_memory_path, [case(1)])
    judge = ReloadingJudge(settings)
    known = judge.versions.memory
    settings.case_memory_path.unlink()
    judge.follow()
    store = model_store(settings)
    store.add(make_model(tmp_path / "next", "2026-03-08"), at=AT, actor="test")
    store.promote("2026-03-08", at=AT, actor="test")
    with capture_logs() as logs:
        judge.follow()
    assert "model_swapped" in [entry["event"] for entry in logs]
    (verdict,) = judge.judge([turn(PITCH)])
    assert (known, False) == (verdict.versions.memory, verdict.degraded)
    assert "memory" in {source.kind for found in verdict.findings for source in found.sources}


def test_cases_that_cannot_be_placed_do_not_hold_up_another_model(
    settings: Settings, promoted: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Unplacing(PlacingClassifier):
        def read(self, turns: object) -> Any:
            raise KeyError("out of step")

    write_cases(settings.case_memory_path, [case(1)])
    judge = ReloadingJudge(settings)
    monkeypatch.setattr(wiring, "OnnxClassifier", lambda *_, **__: Unplacing())
    store = model_store(settings)
    store.add(make_model(tmp_path / "next", "2026-03-08"), at=AT, actor="test")
    store.promote("2026-03-08", at=AT, actor="test")
    with capture_logs() as logs:
        judge.follow()
        judge.follow()
    events = [entry["event"] for entry in logs]
    assert ["case_memory_not_loaded"] == errors(logs)
    assert 1 == events.count("model_swapped")
    assert "missing" == judge.versions.memory


@pytest.fixture
def pack(small_pack: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(small_pack, tmp_path / "pack"))
    (folder / LOCK_FILE).unlink()
    return folder


def change_catalogue(pack: Path, old: str, new: str) -> None:
    path = pack / "catalogue.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def follow_rules(judge: ReloadingJudge) -> list[Any]:
    """A changed pack is taken up at the second look that sees it."""
    with capture_logs() as logs:
        judge.follow()
        judge.follow()
    assert "pack_swapped" in [entry["event"] for entry in logs]
    return logs


def promote(settings: Settings, folder: Path) -> None:
    store = model_store(settings)
    version = store.add(folder, at=AT, actor="test").version
    store.promote(version, at=AT, actor="test")


def test_a_model_stays_when_the_labels_change_while_the_promoted_one_does_not_load(
    settings: Settings, promoted: Path, pack: Path, tmp_path: Path
) -> None:
    judge = ReloadingJudge(settings.model_copy(update={"pack": pack}))
    promote(settings, make_model(tmp_path / "next", "2026-03-08"))
    damage(promoted.parent / "2026-03-08")
    judge.follow()
    change_catalogue(pack, "id: sensitive_topic", "id: sensitive_matter")
    assert [] == errors(follow_rules(judge))
    assert promoted.name == judge.versions.model


def test_a_model_refused_for_its_labels_serves_once_the_pack_has_them(
    settings: Settings, promoted: Path, pack: Path, tmp_path: Path
) -> None:
    judge = ReloadingJudge(settings.model_copy(update={"pack": pack}))
    promote(settings, make_model(tmp_path / "next", "2026-03-08", ("sensitive_matter",)))
    judge.follow()
    assert promoted.name == judge.versions.model
    change_catalogue(pack, "id: sensitive_topic", "id: sensitive_matter")
    follow_rules(judge)
    assert "2026-03-08" == judge.versions.model


def test_a_model_with_a_label_that_the_pack_lost_judges_no_longer(
    settings: Settings, pack: Path, tmp_path: Path
) -> None:
    promote(settings, make_model(tmp_path / "next", "2026-03-08", ("sensitive_topic",)))
    judge = ReloadingJudge(settings.model_copy(update={"pack": pack}))
    change_catalogue(pack, "id: sensitive_topic", "id: sensitive_matter")
    assert ["model_not_loaded"] == errors(follow_rules(judge))
    assert judge.judge([turn(PROMISE)])[0].degraded
    change_catalogue(pack, "id: sensitive_matter", "id: sensitive_topic")
    follow_rules(judge)
    assert "2026-03-08" == judge.versions.model


def test_what_is_loaded_speaks_by_the_new_catalogue(
    settings: Settings, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "OnnxClassifier", lambda *_, **__: PlacingClassifier())
    write_cases(settings.case_memory_path, [case(1)])
    judge = ReloadingJudge(settings.model_copy(update={"pack": pack}))
    change_catalogue(pack, "severity: high", "severity: low")
    follow_rules(judge)
    (verdict,) = judge.judge([turn(PITCH)])
    assert {"implied_guarantee": "low"} == {
        found.label: found.severity.value for found in verdict.findings if found.label == "implied_guarantee"
    }
