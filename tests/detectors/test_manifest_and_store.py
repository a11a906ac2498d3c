"""Model folders: what is altered is refused, what is promoted can be taken back."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.classifier import OnnxClassifier
from detectors.errors import ModelError
from detectors.manifest import (
    Dataset,
    InputShape,
    LabelThresholds,
    Manifest,
    Threshold,
    listed_file,
    read_manifest,
    sha256_of,
    write_manifest,
)
from detectors.model_store import DamagedModel, ModelStore, builtin_model_path

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


@pytest.mark.parametrize("version", ["../escaped", "/escaped", "a/b", "a/", ".hidden", "..", ""])
def test_a_model_whose_version_leads_out_of_the_store_is_not_added(
    store: ModelStore, tmp_path: Path, version: str
) -> None:
    folder = make_folder(tmp_path / "new", "v1")
    write_manifest(folder, read_manifest(folder).model_copy(update={"version": version}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=r"manifest\.json: the version .* cannot name a folder of the store"):
        store.add(folder, at=NOW, actor="test")
    assert before == sorted(tmp_path.rglob("*"))


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


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as a person with an editor does."""
    path = folder / "manifest.json"
    content = orjson.loads(path.read_bytes())
    change(content)
    path.write_bytes(orjson.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["thresholds"]["a"].update(flag=0.9),
        lambda content: content["any_violation"].update(doubt=0.1),
        lambda content: content.update(denies_below=0.2),
        lambda content: content.update(version="v2"),
        lambda content: content.update(labels=["b", "a"]),
        lambda content: content["input"].update(turns=0),
        lambda content: content["scores"].update(test={"f1": 1.0}),
        lambda content: content["files"].clear(),
        lambda content: content.update(seal="0" * 64),
        lambda content: content.pop("seal"),
    ],
    ids=["flag", "doubt", "denies", "version", "labels", "input", "scores", "files", "seal", "no seal"],
)
def test_a_manifest_changed_by_hand_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    folder = make_folder(tmp_path / "m", "v1")
    rewrite(folder, change)
    with pytest.raises(ModelError, match=r"manifest\.json was altered.*copy the model again or roll back"):
        read_manifest(folder)


def test_a_manifest_laid_out_otherwise_is_the_same(tmp_path: Path) -> None:
    """Blanks and the order of keys say nothing."""
    folder = make_folder(tmp_path / "m", "v1")
    before = read_manifest(folder)
    rewrite(folder, lambda content: [content.update({key: content.pop(key)}) for key in sorted(content)])
    assert before == read_manifest(folder)


@given(
    flag=st.floats(min_value=0, max_value=1, exclude_min=True),
    share=st.floats(min_value=0, max_value=1, exclude_max=True),
    scores=st.dictionaries(st.text(), st.floats(allow_nan=False) | st.integers(0, 2**53) | st.text()),
)
def test_what_is_written_is_read_back_and_trusted(
    tmp_path_factory: pytest.TempPathFactory, flag: float, share: float, scores: dict[str, Any]
) -> None:
    folder = make_folder(tmp_path_factory.mktemp("m") / "m", "v1")
    points = {"a": LabelThresholds(flag=flag, doubt=flag)}
    changes = {"thresholds": points, "denies_below": share, "scores": scores}
    write_manifest(folder, read_manifest(folder).model_copy(update=changes))
    found = read_manifest(folder)
    assert (points, share) == (found.thresholds, found.denies_below)


def test_a_folder_from_before_there_were_seals_loads_and_is_sealed_when_written_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", "v1")
    rewrite(folder, lambda content: (content.pop("seal"), content.update(schema_version=1)))
    old = read_manifest(folder)
    assert old.seal is None
    write_manifest(folder, old)
    assert (2, True) == (read_manifest(folder).schema_version, read_manifest(folder).seal is not None)


def test_a_manifest_of_a_later_redline_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", "v1")
    rewrite(folder, lambda content: content.update(schema_version=3))
    with pytest.raises(ModelError, match="schema_version"):
        read_manifest(folder)


def test_a_file_that_the_manifest_does_not_name_is_not_loaded(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", "v1")
    (folder / "vocabulary.txt").write_text("保", "utf-8")
    manifest = read_manifest(folder)
    assert folder / "model.onnx" == listed_file(folder, manifest, "model.onnx")
    with pytest.raises(ModelError, match=r"names no vocabulary\.txt.*copy the whole model folder"):
        OnnxClassifier(folder)


@pytest.mark.parametrize("name", ["model.onnx", "vocabulary.txt", "second.onnx"])
def test_the_shipped_model_does_not_load_when_its_manifest_leaves_out_a_file(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    for file in builtin_model_path().iterdir():
        (folder / file.name).symlink_to(file)
    manifest = read_manifest(folder, verify=False)
    (folder / "manifest.json").unlink()
    files = {key: value for key, value in manifest.files.items() if key != name}
    write_manifest(folder, manifest.model_copy(update={"files": files}))
    with pytest.raises(ModelError, match=f"names no {name}"):
        OnnxClassifier(folder)


def test_the_shipped_model_is_sealed() -> None:
    assert read_manifest(builtin_model_path()).seal is not None
