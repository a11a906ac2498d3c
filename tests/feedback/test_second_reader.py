"""A model is given a second reader, keeps it when it is trained on, and takes none that does not fit."""

import shutil
from collections.abc import Callable
from dataclasses import replace
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


def train(
    base: Path,
    snapshot: Snapshot,
    target: Path,
    *,
    second: Path | None = None,
    asked_by: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Manifest:
    from feedback.training.second_reader import load_candidate
    from feedback.training.settings import FinetuneSettings
    from feedback.training.start import start_from_base, start_from_model
    from feedback.training.train import train_model

    finished = (base / MODEL_FILE).is_file()
    start = start_from_model(base, read_manifest(base), LABELS) if finished else start_from_base(base)
    limits = start.limits or InputLimits()
    read_with, asking = (
        load_candidate(folder, LABELS, start.vocabulary, limits) if folder else None
        for folder in (second, asked_by)
    )
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
        second=read_with,
        asked_by=asking,
        say=say,
    )


def test_it_goes_with_the_model_and_stays_with_it(
    larger: Path, asking: Path, snapshot: Snapshot, tmp_path: Path
) -> None:
    plain, manifest = read_manifest(larger), read_manifest(asking)
    assert manifest.second is not None
    assert manifest.second.version == plain.version
    assert manifest.files[SECOND_FILE] == plain.files[MODEL_FILE]
    assert manifest.version != plain.version
    assert plain.scores["int8"] == manifest.scores["second_reader"]["int8"]
    assert OnnxClassifier(asking).second is not None
    on = train(asking, snapshot, tmp_path / "on")
    assert on.second == manifest.second
    assert on.files[SECOND_FILE] == manifest.files[SECOND_FILE]
    assert plain.scores["int8"] == on.scores["second_reader"]["int8"]
    assert "No encoder learnt in the run" in (tmp_path / "on" / "CARD.md").read_text("utf-8")
    assert "No encoder learnt" not in (larger / "CARD.md").read_text("utf-8")


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
    candidate = load_candidate(folder, LABELS, vocabulary, limits)
    assert (manifest.version, manifest.scores["int8"]) == (candidate.version, candidate.int8)
    with pytest.raises(TrainingError, match="other labels"):
        load_candidate(folder, LABELS[1:], vocabulary, limits)
    with pytest.raises(TrainingError, match="another vocabulary"):
        load_candidate(folder, LABELS, Vocabulary("保本"), limits)
    with pytest.raises(TrainingError, match="other lengths"):
        load_candidate(folder, LABELS, vocabulary, InputLimits(message=64))


def test_a_model_for_another_to_ask_learns_from_all_that_the_other_is_not_sure_of(
    larger: Path, snapshot: Snapshot
) -> None:
    import random

    from feedback.training.examples import judged, make_examples
    from feedback.training.finetune import _needed, _quiet
    from feedback.training.second_reader import load_candidate, read_windows, violation_chance
    from feedback.training.selection import SURE_BELOW, select_for
    from feedback.training.settings import FinetuneSettings

    limits = InputLimits()
    vocabulary = Vocabulary.load(larger / "vocabulary.txt")
    candidate = load_candidate(larger, LABELS, vocabulary, limits)
    examples = make_examples(judged(snapshot.train), LABELS, vocabulary, limits)
    innocent = [example for example in examples if not example.targets.any()]
    selection = select_for(candidate, examples, innocent)

    chances = violation_chance(read_windows(candidate.graph, [example.item for example in examples]))
    violating = np.array([bool(example.targets.any()) for example in examples])
    assert (selection.sure == (~violating & (chances < SURE_BELOW))).all()
    quiet = violation_chance(read_windows(candidate.graph, [example.item for example in innocent]))
    assert (np.diff(quiet[list(selection.innocent)]) <= 0).all()

    sure = np.arange(len(examples)) % 4 != 0
    settings = FinetuneSettings(sure_share=0.5)
    seen = _needed(examples, replace(selection, sure=sure), settings, random.Random(1))
    assert [e for e, skip in zip(examples, sure, strict=True) if not skip] == [
        e for e in seen if not sure[next(i for i, other in enumerate(examples) if other is e)]
    ]
    assert 0.4 * sure.sum() < len(seen) - (~sure).sum() < 0.6 * sure.sum()
    assert examples == list(_needed(examples, None, settings, random.Random(1)))

    first = _quiet(innocent, 10, selection.innocent, random.Random(1))
    assert first[:5] == [innocent[number] for number in selection.innocent[:5]]


def test_a_run_for_another_model_is_told_what_that_one_is_sure_of(
    larger: Path, snapshot: Snapshot, tmp_path: Path
) -> None:
    told: list[str] = []
    manifest = train(small_base(tmp_path), snapshot, tmp_path / "new", asked_by=larger, say=told.append)
    assert any(read_manifest(larger).version in text for text in told)
    assert any(text.startswith("it is sure of ") for text in told)
    assert manifest.second is None


def test_eight_bits_lose_little_where_activations_have_outliers(tmp_path: Path) -> None:
    """As BERT has them: a few channels after a layer norm are many times as large as the others."""
    import onnx
    import torch
    from onnx import numpy_helper

    from detectors.graph import Graph
    from feedback.training.encoder import Encoder, EncoderShape
    from feedback.training.export import export_onnx
    from feedback.training.finetune import logits_of
    from feedback.training.heads import TurnClassifier
    from feedback.training.second_reader import read_windows
    from feedback.training.smoothing import smoothed

    torch.manual_seed(5)
    model = TurnClassifier(Encoder(EncoderShape(vocabulary=60, width=64, layers=2, heads=2)), 3).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight[:3] *= 60
            elif isinstance(module, torch.nn.Linear) and module.in_features == 64:
                module.weight[:, :3] /= 60
    dice = np.random.default_rng(2)
    items = [
        Window([2, *dice.integers(5, 60, 30).tolist()], [1] * 31, [0] * 31, list(range(31)), 0, 30)
        for _ in range(40)
    ]
    exact = logits_of(model, items)
    calmer = smoothed(model, items[:10])
    assert np.abs(logits_of(calmer, items) - exact).max() < 1e-3
    assert (logits_of(model, items) == exact).all()  # the model itself is left as it was

    def lost(network: TurnClassifier, name: str) -> float:
        export_onnx(network, tmp_path / name)
        return float(np.abs(read_windows(Graph(tmp_path / name), items) - exact).mean())

    assert lost(calmer, "calmer.onnx") < 0.75 * lost(model, "plain.onnx")
    weights = [numpy_helper.to_array(part) for part in onnx.load(tmp_path / "calmer.onnx").graph.initializer]
    products = [part for part in weights if part.dtype == np.int8 and part.ndim == 2]
    assert products
    # More than seven bits overflow where a processor adds up two products in sixteen.
    assert max(int(np.abs(part.astype(int)).max()) for part in products) <= 64
