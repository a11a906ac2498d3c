"""The first stage: cheap, sure of what it settles, the same alone and in company, and never in the way of a remembered case."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.case_file import CaseFile, RememberedCase
from detectors.classifier import ModelDetector, OnnxClassifier, Reading
from detectors.domain import Speaker, Turn
from detectors.errors import ModelError
from detectors.first_stage import FIRST_STAGE_FILE, SECTIONS, FirstStage, features, read_first_stage
from detectors.manifest import read_manifest, sha256_of, write_manifest
from detectors.memory import CaseMemory, MemoryDetector
from detectors.model_store import builtin_model_path
from detectors.tokens import InputLimits
from rules.loader import load_pack
from tests.detectors.samples import turn

CATALOGUE = load_pack().catalogue
LIMITS = InputLimits()
BUCKETS, WIDTH, HIDDEN = 1 << 10, 8, 6
PROMISE = ("没问题", ("customer", "这个能保证6%吗"))
FORECAST = "这期预期年化收益率4.5%左右"
ANY_TEXT = st.text(max_size=40)


def a_stage(threshold: float = 0.0, seed: int = 1, *, label_weight: float = 0.0) -> FirstStage:
    dice = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return dice.normal(size=shape).astype(np.float16).astype(np.float32)

    return FirstStage(
        numbers(BUCKETS, WIDTH),
        numbers(HIDDEN, SECTIONS * WIDTH + 1),
        numbers(HIDDEN),
        numbers(1 + len(CATALOGUE.labels), HIDDEN),
        numbers(1 + len(CATALOGUE.labels)),
        threshold,
        label_weight,
        0.5 * label_weight,
        LIMITS,
    )


class CountingClassifier(OnnxClassifier):
    """The shipped model; counts what its encoder reads."""

    encoded = 0

    def _read(self, turns: Sequence[Turn]) -> list[Reading]:
        self.encoded += len(turns)
        return super()._read(turns)


def classifier_that(*, settles: bool) -> CountingClassifier:
    classifier = CountingClassifier(builtin_model_path())
    classifier.first_stage = a_stage(threshold=float("inf") if settles else float("-inf"))
    return classifier


@given(
    text=ANY_TEXT,
    before=st.lists(st.tuples(st.sampled_from(["advisor", "customer", "bot"]), ANY_TEXT), max_size=4),
)
def test_any_turn_has_features_and_a_finite_score(text: str, before: list[tuple[str, str]]) -> None:
    item = turn(text, *before)
    assert all(((found >= 0) & (found < BUCKETS)).all() for found in features(item, LIMITS, BUCKETS))
    assert np.isfinite(a_stage().score(item))


def test_who_said_it_and_where_it_stands_are_apart() -> None:
    own, asked, said = (
        turn("能保证6%吗"),
        turn("嗯", ("customer", "能保证6%吗")),
        turn("嗯", ("advisor", "能保证6%吗")),
    )
    by_section = [features(item, LIMITS, 1 << 40)[section] for section, item in enumerate((own, asked, said))]
    assert len({tuple(found) for found in by_section}) == SECTIONS
    assert not set(by_section[0]) & set(by_section[1])


def test_the_question_before_changes_the_score() -> None:
    stage = a_stage()
    assert stage.score(turn(*PROMISE)) != stage.score(turn("没问题", ("customer", "周三下午可以吗")))


def test_disguised_width_and_marks_are_the_same_text() -> None:
    stage = a_stage()
    assert stage.score(turn("保本")) == stage.score(turn("保\u200b本"))


def test_what_is_settled_is_not_encoded_and_gives_no_finding() -> None:
    settling = classifier_that(settles=True)
    (opinion,) = ModelDetector(settling, CATALOGUE).detect([turn(FORECAST)])
    assert opinion.denies
    assert (opinion.findings, opinion.uncertain, opinion.failure, settling.encoded) == ((), (), None, 0)
    reading = classifier_that(settles=False)
    (opinion,) = ModelDetector(reading, CATALOGUE).detect([turn(FORECAST)])
    assert opinion.findings or opinion.uncertain
    assert reading.encoded == 1


def test_it_joins_the_encoder_by_its_weights() -> None:
    classifier = classifier_that(settles=False)
    (alone,) = classifier.read([turn(FORECAST)])
    classifier.first_stage = a_stage(float("-inf"), label_weight=0.5)
    added = classifier.first_stage.beside(turn(FORECAST))
    seen = classifier.first_stage.look(turn(FORECAST))
    assert added == pytest.approx(0.5 * seen[1:] + 0.25 * seen[0])
    (joined,) = classifier.read([turn(FORECAST)])
    scale = np.array([classifier.manifest.thresholds[label].scale for label in classifier.manifest.labels])

    def logits(reading: Reading) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        chances = reading.probabilities.astype(np.float64)
        return np.asarray(np.log(chances / (1 - chances)))

    assert logits(joined) - logits(alone) == pytest.approx(scale * added, abs=1e-2)


def test_a_message_longer_than_a_window_is_always_read() -> None:
    long = turn("好" * (LIMITS.message + 1))
    assert classifier_that(settles=True).to_read([long, turn("好")]) == [0]


def test_customers_and_empty_messages_are_never_read() -> None:
    assert classifier_that(settles=False).to_read(
        [turn("保本吗", speaker="customer"), turn("  "), turn("保本")]
    ) == [2]


def test_a_stage_that_breaks_leaves_the_turn_to_a_person() -> None:
    classifier = classifier_that(settles=True)
    assert classifier.first_stage is not None
    classifier.first_stage = replace(classifier.first_stage, hidden=np.zeros((1, 1), dtype=np.float32))
    opinions = ModelDetector(classifier, CATALOGUE).detect([turn(*PROMISE), turn("在吗", speaker="customer")])
    assert [bool(opinion.failure) for opinion in opinions] == [True, False]


def test_a_confirmed_case_is_known_again_though_the_first_stage_would_settle_it() -> None:
    classifier = classifier_that(settles=True)
    pitch = "这只产品跟您放在家里的存折一个样，您只管睡觉"
    confirmed = RememberedCase(
        case_id="case-1",
        action="confirmed",
        labels=("implied_guarantee",),
        decided_at=datetime(2026, 3, 1, tzinfo=UTC),
        said=((Speaker.ADVISOR, pitch),),
    )
    memory = MemoryDetector(CaseMemory.build(CaseFile("v", (confirmed,)), classifier), classifier, CATALOGUE)
    known, unlike = memory.detect([turn(pitch), turn("好的，明天上午我把合同寄给您")])
    assert [finding.label for finding in known.findings] == ["implied_guarantee"]
    assert not unlike.findings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(builtin_model_path(), tmp_path / "model"))


def put(stage: FirstStage, folder: Path) -> None:
    stage.save(folder / FIRST_STAGE_FILE)
    manifest = read_manifest(folder, verify=False)
    files = {**manifest.files, FIRST_STAGE_FILE: sha256_of(folder / FIRST_STAGE_FILE)}
    write_manifest(folder, manifest.model_copy(update={"files": files}))


@given(text=ANY_TEXT)
def test_what_is_read_back_decides_the_same(text: str) -> None:
    assert READ_BACK.score(turn(text, ("customer", "能保证吗"))) == WRITTEN.score(
        turn(text, ("customer", "能保证吗"))
    )


def test_a_stage_of_other_sizes_is_refused(folder: Path) -> None:
    put(replace(a_stage(), table=np.zeros((100, WIDTH), dtype=np.float32)), folder)
    with pytest.raises(ModelError, match="do not fit together"):
        read_first_stage(folder, read_manifest(folder))


def test_a_file_that_is_no_stage_is_refused(folder: Path) -> None:
    put(a_stage(), folder)
    (folder / FIRST_STAGE_FILE).write_bytes(b"no archive")
    with pytest.raises(ModelError, match="altered"):
        OnnxClassifier(folder)
    with pytest.raises(ModelError, match="cannot be read"):
        read_first_stage(folder, read_manifest(folder, verify=False))


def _written_and_read_back() -> tuple[FirstStage, FirstStage]:
    import tempfile

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(shutil.copytree(builtin_model_path(), Path(parent) / "model"))
        put(a_stage(threshold=0.25), folder)
        read = read_first_stage(folder, read_manifest(folder))
    assert read is not None
    return a_stage(threshold=0.25), read


WRITTEN, READ_BACK = _written_and_read_back()
