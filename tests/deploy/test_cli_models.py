"""`redline models`: which model serves, and how a person changes it."""

import json
import shutil
from pathlib import Path

import pytest

from detectors import model_store
from tests.deploy.chats import lines, record
from tests.deploy.conftest import Redline
from tests.deploy.model_folders import make_model


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redline: Redline) -> Redline:
    """The command over a store with `shipped` in service and `second` beside it."""
    shipped = make_model(tmp_path / "shipped", "shipped")
    monkeypatch.setattr(model_store, "builtin_model_path", lambda: shipped)
    added = redline("models", "add", str(make_model(tmp_path / "second", "second")))
    assert added.code == 0, added.err
    return redline


def serving(models: Redline) -> str:
    rows = models("models", "list").out.splitlines()
    (row,) = (row for row in rows if "▶" in row)
    return row.split()[1]


def test_list_marks_the_one_in_service(models: Redline) -> None:
    ended = models("models", "list")

    assert ended.code == 0
    assert "shipped" == serving(models)
    assert "second" in ended.out


def test_show_prints_the_manifest_and_the_history(models: Redline) -> None:
    ended = models("models", "show", "second")

    assert "second" == json.loads(ended.out)["version"]
    assert "added by operator" in ended.err
    assert "shipped" == json.loads(models("models", "show").out)["version"]


def test_promotion_and_rollback_are_kept_with_name_and_reason(models: Redline) -> None:
    promoted = models("models", "promote", "second", "--reason", "better recall", "--actor", "li.na")
    assert (0, "second") == (promoted.code, serving(models))

    back = models("models", "rollback", "--actor", "wang.wu")
    assert (0, "shipped") == (back.code, serving(models))

    history = models("models", "show", "second").err
    assert "promoted by li.na: better recall" in history
    assert "rolled_back by wang.wu" in models("models", "show", "shipped").err


@pytest.mark.parametrize(
    "arguments",
    [("show", "ninth"), ("promote", "ninth", "--reason", "why not"), ("show", "../second"), ("show", "")],
)
def test_unknown_version_is_refused(models: Redline, arguments: tuple[str, ...]) -> None:
    ended = models("models", *arguments)

    assert (2, "") == (ended.code, ended.out)
    assert ended.err.startswith("redline: ")
    assert "shipped" == serving(models)


def test_unknown_version_is_answered_with_those_there_are(models: Redline) -> None:
    ended = models("models", "promote", "ninth", "--reason", "why not")

    assert "no model 'ninth'" in ended.err
    assert "second" in ended.err


@pytest.mark.parametrize("reason", [(), ("--reason", ""), ("--reason", " ")], ids=["none", "empty", "blank"])
def test_promotion_needs_a_reason(models: Redline, reason: tuple[str, ...]) -> None:
    ended = models("models", "promote", "second", *reason)

    assert ended.code == 2
    assert "--reason" in ended.err
    assert "shipped" == serving(models)


@pytest.mark.parametrize("harm", ["altered", "gone"])
def test_model_in_service_that_cannot_serve_is_told_and_not_measured(
    models: Redline, tmp_path: Path, harm: str
) -> None:
    models("models", "promote", "second", "--reason", "better recall")
    folder = tmp_path / "data" / "models" / "second"
    if harm == "gone":
        shutil.rmtree(folder)
    else:
        (folder / "vocabulary.txt").write_text("别的", "utf-8")
    (tmp_path / "labelled.jsonl").write_bytes(lines([record(1, labels=["guaranteed_return"])]))

    listed, measured = models("models", "list"), models("eval", "labelled.jsonl")

    assert "the model in service is missing or damaged" in listed.err
    assert (2, "") == (measured.code, measured.out)
    assert "nothing was measured" in measured.err
    assert 0 == models("eval", "labelled.jsonl", "--rules-only").code
    assert (0, "shipped") == (models("models", "rollback").code, serving(models))


def test_promoting_the_one_in_service_changes_nothing(models: Redline) -> None:
    ended = models("models", "promote", "shipped", "--reason", "again")

    assert ended.code == 0
    assert "in service already" in ended.err
    assert models("models", "rollback").code == 2


def test_rollback_without_a_promotion_is_refused(models: Redline) -> None:
    ended = models("models", "rollback")

    assert ended.code == 2
    assert "nothing to roll back to" in ended.err


def test_altered_model_is_not_promoted(models: Redline, tmp_path: Path) -> None:
    (tmp_path / "data" / "models" / "second" / "vocabulary.txt").write_text("别的", "utf-8")

    ended = models("models", "promote", "second", "--reason", "why not")

    assert ended.code == 2
    assert "was altered" in ended.err


def test_model_of_another_catalogue_is_not_promoted(models: Redline, tmp_path: Path) -> None:
    models("models", "add", str(make_model(tmp_path / "third", "third", labels=("jaywalking",))))

    ended = models("models", "promote", "third", "--reason", "why not")

    assert ended.code == 2
    assert "labels that the catalogue does not: jaywalking" in ended.err
    assert "shipped" == serving(models)


def test_folder_without_a_model_is_not_added(models: Redline, tmp_path: Path) -> None:
    ended = models("models", "add", str(tmp_path))

    assert ended.code == 2
    assert "is no model folder" in ended.err
