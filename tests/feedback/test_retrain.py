"""The weekly run around the training itself: which models it compares, and when it must not promote."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from detectors.manifest import Manifest, read_manifest, write_manifest
from detectors.model_store import ModelStore, builtin_model_path
from feedback.corpus.seed import read_corpus, seed_files
from feedback.dataset import split_of
from feedback.labelled import LabelledTurn
from rules.loader import load_pack

pytestmark = pytest.mark.training

LABELS = list(load_pack().catalogue.labels)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
SHIPPED = read_manifest(builtin_model_path(), verify=False).version


@pytest.fixture(scope="module")
def corpus() -> list[LabelledTurn]:
    """A few messages of each part."""
    rows = list(read_corpus(seed_files()[:1]))
    golden = [row for row in read_corpus(seed_files()[5:6]) if split_of(row) == "test"]
    return [*rows[:80], *golden[:80]]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def copy_of_shipped(folder: Path, version: str) -> Manifest:
    """The shipped model under another version."""
    shutil.copytree(builtin_model_path(), folder)
    manifest = read_manifest(folder).model_copy(update={"version": version})
    write_manifest(folder, manifest)
    return manifest


def put_in_service(store: ModelStore, tmp_path: Path, version: str, actor: str = "li.na") -> None:
    copy_of_shipped(tmp_path / version, version)
    store.add(tmp_path / version, at=NOW, actor=actor)
    store.promote(version, at=NOW, actor=actor, reasons=("as a test",))


def run(
    store: ModelStore,
    tmp_path: Path,
    corpus: list[LabelledTurn],
    monkeypatch: pytest.MonkeyPatch,
    *,
    cases: list[LabelledTurn] | None = None,
    version: str = "candidate",
    meanwhile: Callable[[], object] = lambda: None,
) -> Any:
    """A weekly run whose training gives the shipped model again, under `version`, while something else happens."""
    from feedback import retrain
    from feedback.gate import GatePolicy

    def trained(*arguments: Any, **_: Any) -> Manifest:
        meanwhile()
        return copy_of_shipped(arguments[5], version)

    monkeypatch.setattr(retrain, "train_model", trained)
    return retrain.retrain(
        store,
        corpus,
        cases or [],
        LABELS,
        work=tmp_path / f"work-{version}",
        settings=retrain.RETRAIN_SETTINGS,
        policy=GatePolicy(),
        now=NOW,
        code_version="test",
        on_step=lambda *_: None,
    )


def test_an_equal_candidate_is_promoted_and_the_ledger_says_against_what(
    store: ModelStore, tmp_path: Path, corpus: list[LabelledTurn], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = run(store, tmp_path, corpus, monkeypatch)
    assert report.decision.promoted
    assert "candidate" == store.current_version()
    assert f"against the model in service, also the reference, {SHIPPED}: " in store.ledger()[-1].reasons[0]
    again = run(store, tmp_path, corpus, monkeypatch, version="second")
    assert ("candidate", SHIPPED) == (again.serving_version, again.reference_version)
    assert [f"against {name}" for name in ("the model in service candidate", f"the reference {SHIPPED}")] == [
        reason.partition(":")[0] for reason in again.decision.reasons
    ]
    assert again.reference_scores is not None
    assert again.reference_scores.any_violation == again.candidate_scores.any_violation


def test_no_candidate_takes_the_place_of_a_model_that_it_was_not_compared_with(
    store: ModelStore, tmp_path: Path, corpus: list[LabelledTurn], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_service(store, tmp_path, "first")
    report = run(
        store, tmp_path, corpus, monkeypatch, meanwhile=lambda: store.rollback(at=NOW, actor="li.na")
    )
    assert not report.decision.promoted
    assert (
        f"the candidate was compared with first, but {SHIPPED} is in service since"
        in report.decision.reasons[0]
    )
    assert SHIPPED == store.current_version()
    assert ("refused", "candidate") == (store.ledger()[-1].action, store.ledger()[-1].version)
    assert store.find("candidate").folder.is_dir()


def test_the_reference_is_the_shipped_model_until_a_person_promotes_past_the_gate(
    store: ModelStore, tmp_path: Path
) -> None:
    from feedback.retrain import ACTOR, reference_model

    def version() -> str:
        return reference_model(store).manifest.version

    assert SHIPPED == version()
    put_in_service(store, tmp_path, "week-1", ACTOR)
    assert SHIPPED == version()
    put_in_service(store, tmp_path, "our-own")
    assert "our-own" == version()
    put_in_service(store, tmp_path, "week-2", ACTOR)
    assert "our-own" == version()
    store.rollback(at=NOW, actor="li.na")
    store.rollback(at=NOW, actor="li.na")
    assert SHIPPED == version()


def test_a_reference_that_is_gone_measures_nothing(store: ModelStore, tmp_path: Path) -> None:
    from feedback.retrain import ACTOR, reference_model

    put_in_service(store, tmp_path, "our-own")
    put_in_service(store, tmp_path, "week-1", ACTOR)
    shutil.rmtree(store.root / "our-own")
    assert SHIPPED == reference_model(store).manifest.version


def test_contradicting_cases_are_not_what_a_model_is_measured_on(
    store: ModelStore, tmp_path: Path, corpus: list[LabelledTurn], monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = [row for row in corpus if split_of(row) == "dev"][:3]
    cases = [
        replace(row, labels=labels, evidence=(), origin="case", group="li.na")
        for row in held_out
        for labels in (frozenset[str](), frozenset(LABELS[:1]))
    ]
    report = run(store, tmp_path, corpus, monkeypatch, cases=cases)
    assert 6 == len(report.dataset.conflicts)
    assert "cases" not in report.decision.reasons[0]


@pytest.mark.parametrize("labels", [["new", *LABELS], LABELS[1:], LABELS])
def test_what_a_model_finds_has_the_names_that_it_was_trained_with(
    corpus: list[LabelledTurn], labels: list[str]
) -> None:
    from feedback.training.scoring import found_labels, judgements, open_model

    classifier = open_model(builtin_model_path())
    rows = [row for row in corpus if row.labels]
    found = found_labels(classifier, rows)
    assert sum(len(said & row.labels) for said, row in zip(found, rows, strict=True)) > len(rows) / 2
    wanted = [said.intersection(labels) for said in found]
    assert wanted == [judgement.found for judgement in judgements(classifier, rows, labels)]
