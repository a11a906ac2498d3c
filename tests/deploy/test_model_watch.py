"""A model that does not load is tried, and told, once for each state of the store; the rules go on untouched."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from deploy import wiring
from deploy.settings import Settings
from deploy.wiring import ReloadingJudge, model_store
from detectors.model_store import CURRENT_FILE
from tests.deploy.model_folders import make_model
from tests.detectors.samples import turn

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
