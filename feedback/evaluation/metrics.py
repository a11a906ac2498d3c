"""Precision, recall and F1 with bootstrap intervals. Whole conversations are resampled: their messages are no independent draws."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BOOTSTRAP_ROUNDS = 1000
INTERVAL = (2.5, 97.5)
SEED = 7
HARD_PREFIX = "hard:"
EVERY_KIND = "all of them"

Counts = npt.NDArray[np.float64]
Weights = npt.NDArray[np.bool_] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One message: what people say, what the machine says."""

    conversation_id: str
    gold: frozenset[str]
    found: frozenset[str]
    undecided: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % bootstrap interval; NaN where nothing was counted."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Score:
    """Precision, recall, F1; `support` counts the gold positives, `found` what was flagged."""

    precision: Estimate
    recall: Estimate
    f1: Estimate
    support: int
    found: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """
    All scores of one judge on one set.

    `by_tag` is the recall of any violation among violating messages with a tag;
    `hard` the share of compliant messages of a kind that were flagged, and of all kinds together.
    """

    messages: int
    violating: int
    any_violation: Score
    labels: dict[str, Score]
    macro_f1: float
    by_tag: dict[str, tuple[Estimate, int]]
    hard: dict[str, tuple[Estimate, int]]
    false_flags_per_1000: Estimate
    undecided_per_1000: float


def evaluate(judgements: Sequence[Judgement], labels: Sequence[str], *, seed: int = SEED) -> Evaluation:
    """Score a set. Raises ValueError when it is empty."""
    if not judgements:
        msg = "nothing to evaluate: the set has no messages"
        raise ValueError(msg)
    sampler = Sampler([item.conversation_id for item in judgements], seed)
    gold_any = np.array([bool(item.gold) for item in judgements])
    found_any = np.array([bool(item.found) for item in judgements])
    per_label = {
        label: sampler.score(
            np.array([label in item.gold for item in judgements]),
            np.array([label in item.found for item in judgements]),
        )
        for label in labels
    }
    present = [score for score in per_label.values() if score.support]
    tags = sorted({tag for item in judgements for tag in item.tags})
    by_tag: dict[str, tuple[Estimate, int]] = {}
    hard: dict[str, tuple[Estimate, int]] = {}
    for tag in tags:
        has = np.array([tag in item.tags for item in judgements])
        chosen = has & ~gold_any if tag.startswith(HARD_PREFIX) else has & gold_any
        if chosen.any():
            target = hard if tag.startswith(HARD_PREFIX) else by_tag
            target[tag.removeprefix(HARD_PREFIX)] = (
                sampler.share(chosen & found_any, chosen),
                int(chosen.sum()),
            )
    clean = ~gold_any
    if len(hard) > 1:
        close = clean & np.array(
            [any(tag.startswith(HARD_PREFIX) for tag in item.tags) for item in judgements]
        )
        hard[EVERY_KIND] = (sampler.share(close & found_any, close), int(close.sum()))
    return Evaluation(
        messages=len(judgements),
        violating=int(gold_any.sum()),
        any_violation=sampler.score(gold_any, found_any),
        labels=per_label,
        macro_f1=float(np.mean([score.f1.value for score in present])) if present else float("nan"),
        by_tag=by_tag,
        hard=hard,
        false_flags_per_1000=sampler.share(clean & found_any, clean, factor=1000),
        undecided_per_1000=1000 * float(np.mean([item.undecided for item in judgements])),
    )


class Sampler:
    """
    Resamples conversations once; every score reads the same draws.

    Made of the conversation of each message, at least one; arrays that it is given later have
    one entry per message, in the same order.
    """

    def __init__(self, conversations: Iterable[str], seed: int = SEED) -> None:
        _, self._owner = np.unique(list(conversations), return_inverse=True)
        size = int(self._owner.max()) + 1
        generator = np.random.default_rng(seed)
        self._draws = generator.multinomial(size, np.full(size, 1 / size), BOOTSTRAP_ROUNDS).astype(
            np.float64
        )
        self._size = size

    def _counts(self, weights: Weights) -> tuple[float, Counts]:
        per_conversation = np.bincount(self._owner, weights=weights, minlength=self._size)
        return float(weights.sum()), self._draws @ per_conversation

    def mean(self, values: Counts) -> Estimate:
        """The mean of one value per message."""
        return self.share(values, np.ones_like(values))

    def share(self, part: Weights, whole: Weights, *, factor: float = 1.0) -> Estimate:
        """`part` of `whole`, times `factor`."""
        (over, overs), (under, unders) = self._counts(part), self._counts(whole)
        return _estimate(factor * _divide(over, under), factor * _divide(overs, unders))

    def score(self, gold: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]) -> Score:
        """Precision, recall and F1 of `found` against `gold`."""
        (hit, hits), (want, wants), (got, gots) = (
            self._counts(gold & found),
            self._counts(gold),
            self._counts(found),
        )
        return Score(
            precision=_estimate(_divide(hit, got), _divide(hits, gots)),
            recall=_estimate(_divide(hit, want), _divide(hits, wants)),
            f1=_estimate(_divide(2 * hit, want + got), _divide(2 * hits, wants + gots)),
            support=int(want),
            found=int(got),
        )


def _divide(over: float | Counts, under: float | Counts) -> Counts:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.divide(over, under), dtype=np.float64)


def _estimate(value: Counts, draws: Counts) -> Estimate:
    usable = draws[np.isfinite(draws)]
    low, high = np.percentile(usable, INTERVAL) if usable.size else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high))
