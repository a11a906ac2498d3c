"""The learning curve measures every system at every size, on the same messages."""

import pytest

from feedback.corpus.seed import read_corpus
from feedback.dataset import split_of
from feedback.evaluation.curve import learning_curve, tfidf_trainer
from rules.loader import load_pack

LABELS = list(load_pack().catalogue.labels)


@pytest.mark.training
def test_more_labels_find_more() -> None:
    corpus = [item for item in read_corpus() if item.group in {"w01", "w02", "w03"}]
    parts = {name: [item for item in corpus if split_of(item) == name] for name in ("train", "dev", "test")}
    trainers = {"tfidf": tfidf_trainer(parts["dev"], [], LABELS)}
    points = learning_curve(trainers, parts["train"], parts["test"], {}, LABELS, shares=(0.0, 0.1, 1.0))
    assert 2 == len(points)  # a part without a violation is left out
    first, last = points
    assert first.violations < last.violations
    assert len(parts["train"]) == last.messages
    assert 1 == len({point.report.evaluation.messages for point in points})
    assert first.report.evaluation.any_violation.f1.value < last.report.evaluation.any_violation.f1.value
