"""The baselines learn something, keep their promise on innocent text, and never judge a customer."""

from pathlib import Path

import pytest

from feedback.corpus.seed import read_corpus
from feedback.dataset import split_of
from feedback.evaluation.baselines import keyword_list, train_tfidf
from feedback.evaluation.errors import EvaluationError
from feedback.evaluation.suite import measure
from rules.loader import load_pack
from tests.detectors.samples import turn
from tests.feedback.evaluation.systems import row

LABELS = list(load_pack().catalogue.labels)


def test_the_shipped_list_flags_words_wherever_they_stand() -> None:
    found = keyword_list(labels=LABELS).find([turn("这款保本"), turn("不保本"), turn("好的")])
    assert [{"guaranteed_return"}, {"guaranteed_return"}, set()] == [set(item.labels) for item in found]


def test_a_customer_is_not_judged() -> None:
    (found,) = keyword_list(labels=LABELS).find([turn("保本吗", speaker="customer")])
    assert not found.labels


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("nonsense: [x]", "does not have: nonsense"),
        ("guaranteed_return: 保本", "expected label"),
        ("[", "cannot be read as YAML"),
    ],
)
def test_a_broken_list_is_told(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "words.yaml").write_text(content, "utf-8")
    with pytest.raises(EvaluationError, match=told):
        keyword_list(tmp_path / "words.yaml", labels=LABELS)


@pytest.mark.training
def test_tfidf_learns_and_its_quiet_point_is_quieter() -> None:
    corpus = [item for item in read_corpus() if item.group in {"w01", "w02"}]
    parts = {name: [item for item in corpus if split_of(item) == name] for name in ("train", "dev", "test")}
    everyday = [item for item in corpus if not item.labels and split_of(item) == "train"]
    (alone,) = train_tfidf(parts["train"], parts["dev"], [], LABELS)
    loud, quiet = train_tfidf(parts["train"], parts["dev"], everyday, LABELS)
    reports = measure([loud, quiet], parts["test"], {}, {}, LABELS)
    found = measure([alone], parts["test"], {}, {}, LABELS)["tfidf"]
    assert found.evaluation.any_violation.f1.value > 0.5
    assert quiet.point >= loud.point
    assert reports["tfidf-quiet"].false_flags.value <= reports["tfidf"].false_flags.value


@pytest.mark.training
def test_tfidf_without_a_violation_to_learn_from_is_refused() -> None:
    with pytest.raises(EvaluationError, match="nothing to train"):
        train_tfidf([row("好的")], [], [], LABELS)
