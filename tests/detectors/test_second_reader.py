"""The second reader: asked where the first is not sure, heard by its share, and never missed in silence."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from detectors.classifier import MODEL_FILE, OnnxClassifier
from detectors.errors import ModelError
from detectors.graph import Graph, WindowReading
from detectors.manifest import SecondReading, read_manifest, sha256_of, write_manifest
from detectors.model_store import builtin_model_path
from detectors.second_reader import SECOND_FILE, SecondReader
from detectors.tokens import Window
from tests.detectors.samples import turn

ITEM = Window([2, 5], [1, 1], [0, 0], [0, 1], 0, 1)
SURE = np.array([-9.0, -9.0], dtype=np.float32)
UNSURE = np.array([-9.0, 0.0], dtype=np.float32)
PROMISE = turn("这期预期年化收益率4.5%左右")
EVERYDAY = turn("好的，明天上午我把合同寄给您")


class SaysSo(Graph):
    """A graph that always says the same, and counts how often it is asked."""

    def __init__(self, says: float) -> None:
        self.asked = 0
        self._says = np.float32(says)

    def read(self, item: Window) -> WindowReading:
        self.asked += 1
        return WindowReading(np.full(2, self._says), np.full((2, 2), self._says))


def reader(says: float, *, reads_from: float = 0.1, share: float = 0.5) -> SecondReader:
    terms = SecondReading(version="larger", reads_from=reads_from, share=share)
    return SecondReader(SaysSo(says), Path("second.onnx"), terms)


def first(logits: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> WindowReading:
    return WindowReading(logits, np.zeros((2, 2), dtype=np.float32), np.ones(3, dtype=np.float32))


def test_what_is_surely_innocent_is_not_read_again() -> None:
    second = reader(5.0)
    assert second.joined(ITEM, first(SURE)).logits is SURE
    assert isinstance(second.graph, SaysSo)
    assert second.graph.asked == 0


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
def test_where_the_first_is_not_sure_both_are_heard(share: float) -> None:
    joined = reader(5.0, share=share).joined(ITEM, first(UNSURE))
    assert joined.logits == pytest.approx((1 - share) * UNSURE + share * 5.0)
    assert joined.token_logits == pytest.approx(np.full((2, 2), share * 5.0))
    assert joined.place is not None
    assert joined.place.tolist() == [1, 1, 1]


def test_many_windows_are_asked_about_as_each_alone() -> None:
    second = reader(5.0)
    both = np.stack([SURE, UNSURE])
    assert [bool(second.asked(row)) for row in both] == second.asked(both).tolist() == [False, True]


def test_an_answer_that_is_no_number_stays_one_and_reaches_a_person() -> None:
    assert np.isnan(reader(float("nan")).joined(ITEM, first(UNSURE)).logits).all()
    broken = first(np.full(2, np.nan, dtype=np.float32))
    assert np.isnan(reader(5.0).joined(ITEM, broken).logits).all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped model with a second reader that is a copy of the first."""
    target = Path(shutil.copytree(builtin_model_path(), tmp_path / "model"))
    shutil.copyfile(target / MODEL_FILE, target / SECOND_FILE)
    manifest = read_manifest(target, verify=False)
    terms = SecondReading(version="larger", reads_from=0.2, share=0.5)
    files = {**manifest.files, SECOND_FILE: sha256_of(target / SECOND_FILE)}
    write_manifest(target, manifest.model_copy(update={"files": files, "second": terms}))
    return target


def test_the_same_opinion_twice_is_that_opinion(folder: Path) -> None:
    """Logits, evidence and place of a model that asks itself are its own."""
    alone, asking = OnnxClassifier(folder), OnnxClassifier(folder)
    alone.second = None
    for one, other in zip(alone.read([PROMISE, EVERYDAY]), asking.read([PROMISE, EVERYDAY]), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
        assert one.saliency == pytest.approx(other.saliency, abs=1e-6)
        assert (one.places == other.places).all()


def test_another_opinion_moves_what_is_near_the_line_and_nothing_else(folder: Path) -> None:
    class Contrary(Graph):
        def __init__(self) -> None:
            """Needs no file."""

        def read(self, item: Window) -> WindowReading:
            labels = len(classifier.manifest.labels)
            return WindowReading(
                np.full(labels, -20, dtype=np.float32),
                np.full((len(item.ids), labels), -20, dtype=np.float32),
            )

    before = OnnxClassifier(folder).read([PROMISE, EVERYDAY])
    classifier = OnnxClassifier(folder)
    assert classifier.second is not None
    classifier.second.graph = Contrary()
    after = classifier.read([PROMISE, EVERYDAY])
    assert after[0].probabilities.max() < before[0].probabilities.max()
    assert (after[1].probabilities == before[1].probabilities).all()


def test_a_second_reader_that_is_missing_altered_or_broken_is_told(folder: Path) -> None:
    manifest = read_manifest(folder)
    (folder / SECOND_FILE).write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="altered"):
        OnnxClassifier(folder)
    files = {**manifest.files, SECOND_FILE: sha256_of(folder / SECOND_FILE)}
    write_manifest(folder, manifest.model_copy(update={"files": files}))
    with pytest.raises(ModelError, match=r"second\.onnx does not load"):
        OnnxClassifier(folder)
    files.pop(SECOND_FILE)
    write_manifest(folder, manifest.model_copy(update={"files": files}))
    with pytest.raises(ModelError, match=r"names no second\.onnx"):
        OnnxClassifier(folder)


def test_its_file_comes_with_the_model_and_its_terms_with_the_manifest(folder: Path) -> None:
    second = OnnxClassifier(folder).second
    assert second is not None
    assert second.file == folder / SECOND_FILE
    assert second.terms == SecondReading(version="larger", reads_from=0.2, share=0.5)
