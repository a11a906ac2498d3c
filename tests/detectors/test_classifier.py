"""The shipped model: loads, judges any text, proves what it says, and gives the same answer every time."""

import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.classifier import ModelDetector, OnnxClassifier, Reading, evidence_spans
from detectors.decision import any_violation
from detectors.domain import Turn
from detectors.errors import ModelError
from detectors.model_store import builtin_model_path
from rules.loader import load_pack
from tests.detectors.samples import turn

CATALOGUE = load_pack().catalogue
CLASSIFIER = OnnxClassifier(builtin_model_path())
DETECTOR = ModelDetector(CLASSIFIER, CATALOGUE)


Latest = dict[int, tuple[Turn, Reading]]
PROMISES: list[tuple[str, list[tuple[str, str]]]] = [
    ("没问题", [("customer", "这个能保证6%吗")]),
    ("这期预期年化收益率4.5%左右", []),
    ("今年肯定能进同类前十", []),
    ("听他们公司内部的人说下周要公告", []),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(builtin_model_path(), tmp_path / "model"))


def test_the_model_fits_the_catalogue() -> None:
    assert list(CATALOGUE.labels) == CLASSIFIER.manifest.labels


def test_an_answer_takes_its_meaning_from_the_question() -> None:
    answers = [
        ("没问题", "这个能保证6%吗", "周三下午三点可以吗"),
        ("可以的", "到期能保本吧", "我下午过去办可以吗"),
        ("放心", "会不会亏本啊", "短信会发给我吧"),
        ("肯定的", "年底能涨回来吗", "明天开门吗"),
        ("能", "一年能拿五个点吗", "手机上能查到吗"),
        ("不会", "本金会少吗", "周末要排队吗"),
        ("有的", "保底收益有吧", "停车位有吗"),
    ]
    promised, arranged = (
        [
            float(any_violation(reading.probabilities))
            for reading in CLASSIFIER.read([turn(item[0], ("customer", item[asked])) for item in answers])
        ]
        for asked in (1, 2)
    )
    assert all(one > other for one, other in zip(promised, arranged, strict=True))
    assert sum(one > 4 * other for one, other in zip(promised, arranged, strict=True)) >= len(answers) - 1


def test_threads_change_nothing_but_the_time() -> None:
    turns = [turn(text, *before) for text, before in PROMISES * 3]
    several = OnnxClassifier(builtin_model_path(), threads=3)
    for one, other in zip(CLASSIFIER.read(turns), several.read(turns), strict=True):
        assert (one.probabilities == other.probabilities).all()
        assert (one.saliency == other.saliency).all()


def test_one_thread_may_place_cases_while_another_judges() -> None:
    judged, placed = turn("没问题", ("customer", "这个能保证6%吗")), turn("今年肯定能进同类前十")

    class Interrupted(OnnxClassifier):
        """Another thread reads in the very moment in which this one has put its readings down."""

        interrupt = False

        @property
        def _latest(self) -> Latest:
            return self._put_down

        @_latest.setter
        def _latest(self, latest: Latest) -> None:
            self._put_down = latest
            if self.interrupt:
                self.interrupt = False
                other = threading.Thread(target=self.read, args=([placed],))
                other.start()
                other.join()

    classifier = Interrupted(builtin_model_path())
    classifier.interrupt = True
    (reading,) = classifier.read([judged])
    assert (reading.probabilities == CLASSIFIER.read([judged])[0].probabilities).all()


def test_it_denies_where_it_is_sure_and_only_where_it_may() -> None:
    turns = [
        turn("没问题", ("customer", "这个能保证6%吗")),
        turn("好嘞，周三下午见"),
        turn("x", speaker="customer"),
    ]
    below = CLASSIFIER.manifest.denies_below
    chances = [float(any_violation(reading.probabilities)) for reading in CLASSIFIER.read(turns)]
    assert chances[1] < below < chances[0]
    assert [False, True, False] == [opinion.denies for opinion in DETECTOR.detect(turns)]
    silent = ModelDetector(CLASSIFIER, CATALOGUE, may_deny=False)
    assert not any(opinion.denies for opinion in silent.detect(turns))


def test_evidence_points_into_the_original() -> None:
    turns = [turn(f"😂👨‍👩‍👧{text}", *before) for text, before in PROMISES]
    findings = [
        (item, finding)
        for item, opinion in zip(turns, DETECTOR.detect(turns), strict=True)
        for finding in (*opinion.findings, *opinion.uncertain)
    ]
    assert findings
    for item, finding in findings:
        assert finding.evidence
        for evidence in finding.evidence:
            assert item.message.text[evidence.start : evidence.end] == evidence.text


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b", "嗯", "保" * 20_000, "\U0001f600" * 50, "ཧཱུྃ 𠮷𠮷", "\x00\x01"]
)
def test_any_text_can_be_judged(text: str) -> None:
    (opinion,) = DETECTOR.detect([turn(text)])
    assert opinion.failure is None


def test_a_promise_late_in_a_long_message_is_seen() -> None:
    long = "我们先看一下上个月的持仓和费率变化，具体数据我稍后整理成表格发给您。" * 12
    plain, promising = CLASSIFIER.read([turn(long), turn(long + "今年肯定进同类前十，预期年化6%")])
    assert any_violation(promising.probabilities) > 5 * any_violation(plain.probabilities)


def test_customers_are_not_judged() -> None:
    (opinion,) = DETECTOR.detect([turn("能保本吗，亏了你补", speaker="customer")])
    assert (opinion.findings, opinion.uncertain) == ((), ())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(alphabet="保本稳赚您放心净值年化8%，没问题。", min_size=1, max_size=60),
        min_size=2,
        max_size=6,
    )
)
def test_a_verdict_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    together = DETECTOR.detect([turn(text) for text in texts])
    alone = [DETECTOR.detect([turn(text)])[0] for text in texts]
    assert alone == list(together)


def test_an_altered_model_is_refused(copy: Path) -> None:
    with (copy / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="was altered"):
        OnnxClassifier(copy)


def test_a_model_with_labels_outside_the_catalogue_is_refused() -> None:
    small = CATALOGUE.__class__(
        CATALOGUE.jurisdiction, "0", "zh", {"sensitive_topic": CATALOGUE.labels["sensitive_topic"]}, {}, {}
    )
    with pytest.raises(ModelError, match="retrain it with this catalogue or roll back"):
        ModelDetector(CLASSIFIER, small)


def test_the_strongest_characters_are_the_evidence() -> None:
    import numpy as np

    saliency = np.array([0.1, 0.9, 0.8, 0.1, 0.1, 0.1, 0.7], dtype=np.float32)
    assert [(1, 3), (6, 7)] == evidence_spans(saliency)
    assert [] == evidence_spans(np.zeros(0, dtype=np.float32))
