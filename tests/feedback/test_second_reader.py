"""A model is given a second reader, keeps it when it is trained on, and takes none that does not fit."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from detectors.classifier import MODEL_FILE, OnnxClassifier
from detectors.graph import Graph, WindowReading
from detectors.manifest import Manifest, read_manifest
from detectors.model_store import builtin_model_path
from detectors.second_reader import SECOND_FILE
from detectors.tokens import InputLimits, Vocabulary, Window
from feedback.corpus.seed import read_corpus
from feedback.dataset import Snapshot, build_snapshot
from rules.loader import load_pack
from tests.feedback.test_training import small_base

pytestmark = pytest.mark.training

LABELS = list(load_pack().catalogue.labels)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    rows = [row for row in read_corpus() if row.group == "w01"]
    return build_snapshot(rows[:450], [], LABELS)


@pytest.fixture(scope="module")
def larger(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished model without a second reader."""
    folder = tmp_path_factory.mktemp("larger")
    train(small_base(folder), snapshot, folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def asking(larger: Path, snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with itself as its second reader."""
    folder = tmp_path_factory.mktemp("asking") / "model"
    train(larger, snapshot, folder, second=larger)
    return folder


def train(base: Path, snapshot: Snapshot, target: Path, *, second: Path | None = None) -> Manifest:
    from feedback.training.second_reader import load_candidate
    from feedback.training.settings import FinetuneSettings
    from feedback.training.start import start_from_base, start_from_model
    from feedback.training.train import train_model

    finished = (base / MODEL_FILE).is_file()
    start = start_from_model(base, read_manifest(base), LABELS) if finished else start_from_base(base)
    limits = start.limits or InputLimits()
    return train_model(
        start,
        snapshot,
        [],
        LABELS,
        FinetuneSettings(epochs=1, second_kept=0.9),
        target,
        created_at=NOW,
        code_version="test",
        on_step=lambda step, total, loss: None,
        keep_weights=finished,
        second=load_candidate(second, LABELS, start.vocabulary, limits) if second else None,
    )


def test_it_goes_with_the_model_and_stays_with_it(
    larger: Path, asking: Path, snapshot: Snapshot, tmp_path: Path
) -> None:
    plain, manifest = read_manifest(larger), read_manifest(asking)
    assert manifest.second is not None
    assert manifest.second.version == plain.version
    assert manifest.files[SECOND_FILE] == plain.files[MODEL_FILE]
    assert manifest.version != plain.version
    assert OnnxClassifier(asking).second is not None
    on = train(asking, snapshot, tmp_path / "on")
    assert on.second == manifest.second
    assert on.files[SECOND_FILE] == manifest.files[SECOND_FILE]


def test_what_trains_judges_as_what_serves(asking: Path, snapshot: Snapshot) -> None:
    from feedback.training.examples import judged, make_examples
    from feedback.training.finish import encoder_logits
    from feedback.training.weights import load_classifier

    serving = OnnxClassifier(asking)
    rows = [row for row in judged(snapshot.dev) if len(row.turn.message.text) < 90]
    examples = make_examples(rows, LABELS, serving.vocabulary, serving.limits)
    model, _ = load_classifier(asking, len(LABELS))
    points = [serving.manifest.thresholds[label] for label in LABELS]
    logits = encoder_logits(model.eval(), [example.item for example in examples], serving.second)
    logits += serving.beside([row.turn for row in rows])
    floats = 1 / (1 + np.exp(-(logits * [p.scale for p in points] + [p.shift for p in points])))
    served = np.stack([reading.probabilities for reading in serving.read([row.turn for row in rows])])
    assert np.abs(floats - served).mean() < 0.02


class Knowing(Graph):
    """Knows the answers, by the first id of a window."""

    def __init__(self, answers: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> None:
        self._answers = answers

    def read(self, item: Window) -> WindowReading:
        row = (8 * self._answers[item.ids[0]] - 4).astype(np.float32)
        return WindowReading(row, row[None])


def test_who_knows_more_counts_more_and_is_asked_about_nearly_all_violations(tmp_path: Path) -> None:
    from feedback.training.second_reader import Candidate, fit_second

    dice = np.random.default_rng(2)
    targets = (dice.random((400, 3)) < 0.1).astype(np.float64)
    guess = 8 * dice.normal(size=targets.shape)
    items = [Window([row], [1], [0], [0], 0, 0) for row in range(len(targets))]
    knowing = fit_second(Candidate(Knowing(targets), tmp_path, "v"), items, guess, targets, kept=0.9)
    assert knowing.terms.share >= 0.8
    asked = knowing.asked(guess)
    assert 0.9 <= asked[targets.any(axis=1)].mean() < 1


def test_who_knows_less_than_the_first_is_refused(tmp_path: Path) -> None:
    from feedback.training.errors import TrainingError
    from feedback.training.second_reader import Candidate, fit_second

    dice = np.random.default_rng(2)
    targets = (dice.random((400, 3)) < 0.1).astype(np.float64)
    items = [Window([row], [1], [0], [0], 0, 0) for row in range(len(targets))]
    guessing = Candidate(Knowing(dice.random(targets.shape)), tmp_path, "v")
    with pytest.raises(TrainingError, match="no help as a second reader"):
        fit_second(guessing, items, 2 * targets - 1, targets, kept=0.9)


def test_a_first_encoder_that_moved_asks_from_elsewhere(tmp_path: Path) -> None:
    from feedback.training.second_reader import Candidate, asked_anew, fit_second

    dice = np.random.default_rng(2)
    targets = (dice.random((400, 3)) < 0.1).astype(np.float64)
    items = [Window([row], [1], [0], [0], 0, 0) for row in range(len(targets))]
    first = 8 * dice.normal(size=targets.shape)
    second = fit_second(Candidate(Knowing(targets), tmp_path, "v"), items, first, targets, kept=0.9)
    moved = asked_anew(second, first - 3, targets, kept=0.9)
    assert moved.terms.reads_from < second.terms.reads_from
    assert (moved.asked(first - 3) == second.asked(first)).mean() > 0.98


def test_a_run_from_a_base_keeps_what_fits_and_says_what_does_not(larger: Path, asking: Path) -> None:
    from feedback.training.second_reader import kept_from

    vocabulary = Vocabulary.load(larger / "vocabulary.txt")
    said: list[str] = []
    kept = kept_from(asking, LABELS, vocabulary, InputLimits(), say=said.append)
    assert kept is not None
    assert kept.version == read_manifest(larger).version
    assert not said
    assert kept_from(asking, LABELS[::-1], vocabulary, InputLimits(), say=said.append) is None
    assert kept_from(asking, LABELS, Vocabulary("保本"), InputLimits(), say=said.append) is None
    assert ["other labels" in said[0], "another vocabulary" in said[1]] == [True, True]
    assert kept_from(larger, LABELS, vocabulary, InputLimits(), say=said.append) is None
    assert len(said) == 2


def test_what_reads_or_knows_otherwise_is_no_second_reader(tmp_path: Path) -> None:
    from feedback.training.errors import TrainingError
    from feedback.training.second_reader import load_candidate

    folder = Path(shutil.copytree(builtin_model_path(), tmp_path / "model"))
    manifest = read_manifest(folder)
    vocabulary = Vocabulary.load(folder / "vocabulary.txt")
    limits = InputLimits(**manifest.input.model_dump())
    assert load_candidate(folder, LABELS, vocabulary, limits).version == manifest.version
    with pytest.raises(TrainingError, match="other labels"):
        load_candidate(folder, LABELS[1:], vocabulary, limits)
    with pytest.raises(TrainingError, match="another vocabulary"):
        load_candidate(folder, LABELS, Vocabulary("保本"), limits)
    with pytest.raises(TrainingError, match="other lengths"):
        load_candidate(folder, LABELS, vocabulary, InputLimits(message=64))
