"""Model folders: what is altered is refused, what is promoted can be taken back."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from detectors.errors import ModelError
from detectors.manifest import (
    Dataset,
    InputShape,
    LabelThresholds,
    Manifest,
    Threshold,
    read_manifest,
    sha256_of,
    write_manifest,
)
from detectors.model_store import DamagedModel, ModelStore

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def make_folder(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(version.encode())
    write_manifest(
        folder,
        Manifest(
            name="m",
            version=version,
            created_at=NOW.isoformat(),
            labels=["a"],
            thresholds={"a": LabelThresholds(flag=0.5, doubt=0.3)},
            any_violation=Threshold(flag=0.5, doubt=0.3),
            input=InputShape(message=8, overlap=2, context=4, turns=1),
            dataset=Dataset(hash="0", conversations=1, messages=1, violations=1),
            settings={},
            base="base:none",
            code_version="0",
            scores={},
            files={"model.onnx": sha256_of(folder / "model.onnx")},
        ),
    )
    return folder


def listed(store: ModelStore) -> list[tuple[str, bool]]:
    return [(m.manifest.version, m.in_service) for m in store.models() if not isinstance(m, DamagedModel)]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store", builtin=make_folder(tmp_path / "shipped", "v0"))


def test_the_shipped_model_serves_until_another_is_promoted(store: ModelStore, tmp_path: Path) -> None:
    assert "v0" == store.current_version()
    store.add(make_folder(tmp_path / "new", "v1"), at=NOW, actor="test")
    assert "v0" == store.current_version()
    store.promote("v1", at=NOW, actor="test", reasons=("better",))
    assert "v1" == store.current_version()
    assert [("v0", False), ("v1", True)] == listed(store)


def test_rollback_walks_back_through_promotions(store: ModelStore, tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        store.add(make_folder(tmp_path / version, version), at=NOW, actor="test")
        store.promote(version, at=NOW, actor="test")
    assert "v1" == store.rollback(at=NOW, actor="test")
    assert "v0" == store.rollback(at=NOW, actor="test")
    with pytest.raises(ModelError, match="nothing to roll back"):
        store.rollback(at=NOW, actor="test")
    assert ["added", "promoted", "added", "promoted", "rolled_back", "rolled_back"] == [
        e.action for e in store.ledger()
    ]


def test_adding_the_shipped_version_makes_no_second_copy(store: ModelStore, tmp_path: Path) -> None:
    store.add(store.builtin, at=NOW, actor="test")
    assert [("v0", True)] == listed(store)


def test_adding_twice_changes_nothing(store: ModelStore, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "new", "v1")
    store.add(folder, at=NOW, actor="test")
    store.add(folder, at=NOW, actor="test")
    assert 1 == len(store.ledger())


def test_an_altered_file_is_refused(store: ModelStore, tmp_path: Path) -> None:
    store.add(make_folder(tmp_path / "new", "v1"), at=NOW, actor="test")
    (store.root / "v1" / "model.onnx").write_bytes(b"other")
    with pytest.raises(ModelError, match="was altered"):
        store.promote("v1", at=NOW, actor="test")
    assert "v0" == store.current_version()


@pytest.mark.parametrize("version", ["v9", "../shipped", ".hidden", ""])
def test_an_unknown_version_is_refused_with_those_there(store: ModelStore, version: str) -> None:
    with pytest.raises(ModelError, match="redline models list"):
        store.promote(version, at=NOW, actor="test")


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 5}', '{"version": "gone"}'])
def test_a_damaged_pointer_is_told_and_can_be_repaired(store: ModelStore, tmp_path: Path, text: str) -> None:
    store.add(make_folder(tmp_path / "new", "v1"), at=NOW, actor="test")
    (store.root / "current.json").write_text(text)
    with pytest.raises(ModelError, match="redline models"):
        store.current()
    assert [("v0", False), ("v1", False)] == listed(store)
    store.promote("v1", at=NOW, actor="test")
    assert "v1" == store.current_version()


def test_one_damaged_folder_does_not_hide_the_others(store: ModelStore, tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        store.add(make_folder(tmp_path / version, version), at=NOW, actor="test")
    (store.root / "v1" / "model.onnx").write_bytes(b"other")
    assert [("v0", True), ("v2", False)] == listed(store)
    assert ["v1"] == [model.folder.name for model in store.models() if isinstance(model, DamagedModel)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "is no model folder"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "not a valid manifest"),
        (lambda folder: (folder / "model.onnx").unlink(), "copy the whole model folder"),
    ],
)
def test_a_broken_folder_is_told(tmp_path: Path, change: object, words: str) -> None:
    folder = make_folder(tmp_path / "m", "v1")
    change(folder)  # type: ignore[operator]
    with pytest.raises(ModelError, match=words):
        read_manifest(folder)
