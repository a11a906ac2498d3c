"""The evidence of the shipped model is what it decides by."""

from detectors.classifier import OnnxClassifier
from detectors.model_store import builtin_model_path
from feedback.corpus.seed import read_corpus
from feedback.dataset import split_of
from feedback.evaluation.faithfulness import faithfulness
from feedback.training.examples import judged
from tests.detectors.samples import turn

CLASSIFIER = OnnxClassifier(builtin_model_path())


def test_without_its_evidence_the_score_falls_further_than_without_other_words() -> None:
    rows = [row for row in judged(read_corpus()) if row.labels and split_of(row) == "dev"]
    # Where the model sees nothing there is nothing to lose.
    seen = [
        row.turn
        for row, reading in zip(rows, CLASSIFIER.read([row.turn for row in rows]), strict=True)
        if reading.probabilities.max() > 0.5
    ]
    found = faithfulness(CLASSIFIER, seen)
    assert found is not None
    assert found.turns > 30
    assert found.drop > 0.2
    assert found.drop > 2 * found.random_drop
    assert found.fell > 0.9


def test_a_message_that_is_nothing_but_evidence_says_nothing() -> None:
    assert faithfulness(CLASSIFIER, [turn("嗯"), turn("")]) is None
