"""Training the first stage: it keeps what should reach the encoder, spares it the rest, and is the same every time."""

from collections.abc import Sequence

import numpy as np
import pytest

from detectors.domain import Turn
from detectors.manifest import LabelThresholds, Threshold
from detectors.tokens import InputLimits
from feedback.corpus.seed import read_corpus, seed_files
from feedback.labelled import LabelledTurn
from feedback.training.examples import judged
from feedback.training.thresholds import Points
from rules.loader import load_pack

pytestmark = pytest.mark.training

LABELS = list(load_pack().catalogue.labels)
LIMITS = InputLimits()
LEARNT_FROM, TRIED_ON = ("w11", "w25", "w31", "w39"), ("w20", "w28")
KEPT = 0.98


@pytest.fixture(scope="module")
def rows() -> dict[str, list[LabelledTurn]]:
    def of(writers: Sequence[str]) -> list[LabelledTurn]:
        return judged(read_corpus([path for path in seed_files() if path.stem in writers]))

    return {"learn": of(LEARNT_FROM), "tried": of(TRIED_ON)}


def violating(rows: Sequence[LabelledTurn]) -> list[Turn]:
    return [row.turn for row in rows if row.labels]


def test_it_keeps_what_it_must_and_spares_the_encoder_more_of_the_rest(
    rows: dict[str, list[LabelledTurn]],
) -> None:
    from feedback.training.first_stage import train_first_stage, with_threshold

    keep = violating(rows["tried"])
    stage = with_threshold(train_first_stage(rows["learn"], LABELS, LIMITS, seed=1), keep, kept=KEPT)
    short = [turn for turn in keep if len(turn.message.text) <= LIMITS.message]
    lost = np.mean([stage.settles(turn) for turn in short])
    spared = np.mean([stage.settles(row.turn) for row in rows["tried"] if not row.labels])
    assert lost <= 1 - KEPT + 1e-9
    assert spared > 5 * (1 - KEPT)


def test_the_same_rows_give_the_same_stage(rows: dict[str, list[LabelledTurn]]) -> None:
    from feedback.training.first_stage import train_first_stage

    one, other = (train_first_stage(rows["learn"][:400], LABELS, LIMITS, seed=3) for _ in range(2))
    assert np.array_equal(one.table, other.table)
    assert np.array_equal(one.look(rows["tried"][0].turn), other.look(rows["tried"][0].turn))


def test_nothing_is_settled_by_guess(rows: dict[str, list[LabelledTurn]]) -> None:
    """With too few violations to set the threshold by nothing is settled: the encoder reads all."""
    from feedback.training.first_stage import train_first_stage, with_threshold

    stage = train_first_stage(rows["learn"][:200], LABELS, LIMITS, seed=1)
    unsure = with_threshold(stage, violating(rows["tried"])[:5], kept=KEPT)
    assert not any(unsure.settles(row.turn) for row in rows["tried"])


def test_it_joins_the_encoder_where_that_helps_and_only_there(rows: dict[str, list[LabelledTurn]]) -> None:
    from feedback.training.first_stage import train_first_stage, with_weights
    from feedback.training.ranking import average_precision

    stage = train_first_stage(rows["learn"], LABELS, LIMITS, seed=1)
    turns = [row.turn for row in rows["tried"]]
    targets = np.array([[label in row.labels for label in LABELS] for row in rows["tried"]], dtype=float)
    assert with_weights(stage, turns, 20 * targets - 10, targets).label_weight == 0  # it knows all already
    dull = 0.1 * np.random.default_rng(1).normal(size=targets.shape)
    joined = with_weights(stage, turns, dull, targets)
    added = dull + np.stack([joined.beside(turn) for turn in turns])
    gold = targets.max(axis=1)
    assert average_precision(added.max(axis=1), gold) > 1.1 * average_precision(dull.max(axis=1), gold)


def test_a_new_threshold_follows_what_must_be_kept(rows: dict[str, list[LabelledTurn]]) -> None:
    from feedback.training.first_stage import train_first_stage, with_threshold

    keep = violating(rows["tried"])
    stage = with_threshold(train_first_stage(rows["learn"], LABELS, LIMITS, seed=1), keep, kept=KEPT)
    # A reviewer confirmed what the stage was surest of: from then on it is read.
    surest = min((row.turn for row in rows["tried"] if not row.labels), key=stage.score)
    assert stage.settles(surest)
    moved = with_threshold(stage, [*keep, surest], kept=1.0)
    assert not moved.settles(surest)


def test_disguised_violations_are_among_what_it_learns_and_is_tried_on(
    rows: dict[str, list[LabelledTurn]],
) -> None:
    from feedback.training.first_stage import with_disguises

    made = with_disguises(rows["learn"], seed=1)
    new = [row for row in made if any(tag.startswith("augment:") for tag in row.tags)]
    assert any(row.labels for row in new)
    assert any(not row.labels for row in new)
    assert made[: len(rows["learn"])] == rows["learn"]


def test_nearness_is_one_where_a_person_begins_to_look() -> None:
    from feedback.training.first_stage import nearness

    points = Points(
        {"a": LabelThresholds(flag=0.8, doubt=0.5), "b": LabelThresholds(flag=0.9, doubt=0.8)},
        Threshold(flag=0.99, doubt=0.99),
    )
    near = nearness(np.array([[0.0, -9.0], [-9.0, 0.0], [-9.0, -9.0]]), points)
    assert near[0] == pytest.approx(1.0)
    assert near[1] == pytest.approx(0.5 / 0.8, rel=1e-3)
    assert near[2] < 0.01
