"""
Is the training pipeline sound? COLD (offensive language, 25,726 + 6,431 posts) through the same code.

    python -m tests.benchmarks.cold --base feedback/training/base TRAIN.jsonl.gz DEV.jsonl.gz

The last tenth of TRAIN chooses the threshold, DEV is measured. Published: BERT 81 %, TF-IDF with
logistic regression 79.7 %, both on COLD's own test part, which is not in these files.
"""

import argparse
import gzip
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson

from detectors.classifier import OnnxClassifier
from detectors.domain import Message, Speaker, Turn
from detectors.manifest import Dataset
from feedback.dataset import Snapshot
from feedback.labelled import LabelledTurn
from feedback.training.start import default_settings, start_from_base
from feedback.training.train import train_model

LABEL = "offensive"
AT = datetime(2026, 1, 1, tzinfo=UTC)
THRESHOLD_TENTH = 10


def read_cold(path: Path) -> list[LabelledTurn]:
    """Posts with their label; each is a conversation of one message."""
    rows = []
    with gzip.open(path, "rb") as lines:
        for number, line in enumerate(lines):
            record = orjson.loads(line)
            message = Message(
                f"{path.name}-{number}", f"{path.name}-{number}", AT, Speaker.ADVISOR, record["text"]
            )
            labels = frozenset({LABEL} if record["label"] else ())
            rows.append(LabelledTurn(Turn(message), labels, group="cold"))
    return rows


def accuracy(
    probabilities: "np.ndarray[tuple[int], np.dtype[np.float64]]", rows: list[LabelledTurn], point: float
) -> float:
    """Share of posts on the right side of a point."""
    gold = np.array([bool(row.labels) for row in rows])
    return float(((probabilities >= point) == gold).mean())


def best_point(
    probabilities: "np.ndarray[tuple[int], np.dtype[np.float64]]", rows: list[LabelledTurn]
) -> float:
    """The point of the best accuracy."""
    points = np.linspace(0.05, 0.95, 91)
    return float(max(points, key=lambda point: accuracy(probabilities, rows, float(point))))


def encoder_scores(folder: Path, rows: list[LabelledTurn]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Calibrated probability of each post, by the served graph."""
    readings = OnnxClassifier(folder).read([row.turn for row in rows])
    return np.array([float(reading.probabilities[0]) for reading in readings])


def tfidf_scores(
    train: list[LabelledTurn], *parts: list[LabelledTurn]
) -> "list[np.ndarray[tuple[int], np.dtype[np.float64]]]":
    """The baseline on the same posts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    features = vectors.fit_transform([row.turn.message.text for row in train])
    model = LogisticRegression(C=5.0, max_iter=300, solver="liblinear", random_state=7)
    model.fit(features, [bool(row.labels) for row in train])
    return [
        model.predict_proba(vectors.transform([row.turn.message.text for row in part]))[:, 1]
        for part in parts
    ]


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("dev", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--lora", type=int, default=0)
    given = parser.parse_args()
    rows, test = read_cold(given.train), read_cold(given.dev)
    cut = len(rows) - len(rows) // THRESHOLD_TENTH
    train, dev = rows[:cut], rows[cut:]
    settings = default_settings(given.base, lora_rank=given.lora)
    # No innocent sets, no evidence, and one label for half of the posts: what serves our corpus does not fit here.
    changes = {
        "positive_weight": 1.0,
        "evidence_weight": 0.0,
        **({"epochs": given.epochs} if given.epochs else {}),
    }
    settings = settings.model_copy(update=changes)
    described = Dataset(
        hash="cold", conversations=len(rows), messages=len(rows), violations=sum(bool(r.labels) for r in rows)
    )
    with TemporaryDirectory() as work:
        folder = Path(work) / "model"
        train_model(
            start_from_base(given.base, lora_rank=given.lora),
            Snapshot(tuple(train), tuple(dev), (), described),
            [],
            [LABEL],
            settings,
            folder,
            created_at=AT,
            code_version="benchmark",
            on_step=lambda step, total, loss: (
                print(f"{step}/{total} loss {loss:.3f}") if step % 200 == 0 else None
            ),
        )
        ours_dev, ours = encoder_scores(folder, dev), encoder_scores(folder, test)
    base_dev, base = tfidf_scores(train, dev, test)
    for name, chosen_on, found in (
        ("encoder", ours_dev, ours),
        ("tf-idf + logistic regression", base_dev, base),
    ):
        point = best_point(chosen_on, dev)
        print(
            f"{name}: accuracy {accuracy(found, test, point):.4f} on {len(test)} posts (threshold {point:.2f})"
        )


if __name__ == "__main__":
    main()
