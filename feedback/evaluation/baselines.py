"""What redline must beat, measured in the same run: a keyword list, and TF-IDF with logistic regression."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml

from detectors.domain import Speaker, Turn
from feedback.evaluation.errors import EvaluationError
from feedback.evaluation.systems import NOTHING, Found, asked
from feedback.labelled import LabelledTurn

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float64]

MOST_FEATURES = 200_000
LEAST_POSITIVES = 5
FALSE_FLAG_BUDGET = 0.002
SEED = 7


@dataclass(frozen=True, slots=True)
class KeywordSystem:
    """Flags a label where one of its words occurs in the text as written. No normalisation, no context."""

    words: Mapping[str, Sequence[str]]
    name: str = "keywords"

    def find(self, turns: Sequence[Turn]) -> list[Found]:
        """The labels of all words that occur."""
        return [self._found(turn) for turn in turns]

    def _found(self, turn: Turn) -> Found:
        if turn.message.speaker is Speaker.CUSTOMER:
            return NOTHING
        text = turn.message.text
        return Found(
            frozenset(label for label, words in self.words.items() if any(word in text for word in words))
        )


def keyword_list(path: Path | None = None, *, labels: Sequence[str]) -> KeywordSystem:
    """
    The list that ships, or one of your own: YAML, label → words.

    Raises EvaluationError when it is no such file or names labels that the catalogue lacks.
    """
    source = path or Path(str(resources.files("feedback"))) / "evaluation" / "keywords" / "cn.yaml"
    try:
        words = yaml.safe_load(source.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise EvaluationError(f"{source}: cannot be read as YAML: {error}") from error
    shaped = isinstance(words, dict) and all(
        isinstance(items, list) and all(isinstance(item, str) and item for item in items)
        for items in words.values()
    )
    if not shaped:
        raise EvaluationError(f"{source}: expected label: [word, …]")
    unknown = sorted(set(words) - set(labels))
    if unknown:
        raise EvaluationError(
            f"{source}: labels that the catalogue does not have: {', '.join(map(str, unknown))}"
        )
    return KeywordSystem(words)


class TfidfSystem:
    """
    Character TF-IDF and one logistic regression per label, at fixed decision points.

    `point` is the probability from which a label is flagged.
    """

    def __init__(
        self,
        name: str,
        vectors: "TfidfVectorizer",
        models: Mapping[str, "LogisticRegression"],
        point: float,
    ) -> None:
        self.name = name
        self.point = point
        self._vectors = vectors
        self._models = models

    def find(self, turns: Sequence[Turn]) -> list[Found]:
        """Labels whose probability reaches the point."""
        chosen = [i for i, turn in enumerate(turns) if turn.message.speaker is not Speaker.CUSTOMER]
        found = [NOTHING] * len(turns)
        if chosen:
            scores = self.probabilities([turns[i].message.text for i in chosen])
            names = list(self._models)
            for i, row in zip(chosen, scores, strict=True):
                labels = [names[k] for k in np.flatnonzero(row >= self.point)]
                found[i] = Found(frozenset(labels))
        return found

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """One row per text, one column per label that was trained."""
        features = self._vectors.transform(texts)
        columns = [model.predict_proba(features)[:, 1] for model in self._models.values()]
        return np.stack(columns, axis=1) if columns else np.zeros((len(texts), 0))

    def at(self, name: str, point: float) -> "TfidfSystem":
        """The same models at another point."""
        return TfidfSystem(name, self._vectors, self._models, point)


def train_tfidf(
    train: Sequence[LabelledTurn],
    dev: Sequence[LabelledTurn],
    innocent: Sequence[LabelledTurn],
    labels: Sequence[str],
) -> list[TfidfSystem]:
    """
    The baseline, trained on `train` and `innocent` turns (which cross no line).

    `tfidf` flags where F1 of any violation on `dev` is best. With innocent turns there is
    `tfidf-quiet` too, which flags at most 2 of 1,000 of a held-back tenth of them.
    Needs scikit-learn (the train extra).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    learn, held_back = _held_back(asked(innocent))
    rows = [*asked(train), *learn]
    if not any(row.labels for row in rows):
        raise EvaluationError("nothing to train TF-IDF on: no violating message in the training part")
    vectors = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True, max_features=MOST_FEATURES
    )
    features = vectors.fit_transform([row.turn.message.text for row in rows])
    models = {
        label: _regression(features, np.array([label in row.labels for row in rows]))
        for label in labels
        if sum(label in row.labels for row in rows) >= LEAST_POSITIVES
    }
    system = TfidfSystem("tfidf", vectors, models, 0.5)
    own = asked(dev)
    best = _best_point(system, own) if own else 0.5
    loud = system.at("tfidf", best)
    if not held_back:
        return [loud]
    return [loud, system.at("tfidf-quiet", max(best, _quiet_point(system, held_back)))]


def _held_back(innocent: Sequence[LabelledTurn]) -> tuple[list[LabelledTurn], list[LabelledTurn]]:
    names: dict[str, int] = {}
    parts: tuple[list[LabelledTurn], list[LabelledTurn]] = ([], [])
    for row in innocent:
        number = names.setdefault(row.turn.message.conversation_id, len(names))
        parts[number % 10 == 0].append(row)
    return parts


def _regression(features: Any, targets: npt.NDArray[np.bool_]) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=10.0, class_weight="balanced", max_iter=300, solver="liblinear", random_state=SEED
    )
    model.fit(features, targets)
    return model


def _top(system: TfidfSystem, rows: Sequence[LabelledTurn]) -> Floats:
    scores = system.probabilities([row.turn.message.text for row in rows])
    return scores.max(axis=1) if scores.shape[1] else np.zeros(len(rows))


def _best_point(system: TfidfSystem, rows: Sequence[LabelledTurn]) -> float:
    top, gold = _top(system, rows), np.array([bool(row.labels) for row in rows])
    points = np.linspace(0.05, 0.99, 95)
    found = top[None, :] >= points[:, None]
    scores = 2 * (found & gold).sum(1) / np.maximum(gold.sum() + found.sum(1), 1)
    return float(points[int(scores.argmax())])


def _quiet_point(system: TfidfSystem, rows: Sequence[LabelledTurn]) -> float:
    top = _top(system, rows)
    return float(np.nextafter(np.quantile(top, 1 - FALSE_FLAG_BUDGET, method="higher"), 1.0))
