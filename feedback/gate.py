"""The gate: a candidate replaces the model in service only where it is no worse on a fixed golden set."""

import math
from dataclasses import dataclass, field

from feedback.evaluation.metrics import Evaluation

# A label with fewer golden messages says too little to decide on alone.
LEAST_SUPPORT = 10


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """
    What the candidate may lose, as differences of shares.

    `f1_loss` on any violation, `label_recall_loss` per label with enough support,
    `false_flags_gain` in flags per 1,000 compliant messages. `cases_loss` is the
    share of reviewers' decisions that the model in service got right and the
    candidate may get wrong.
    """

    f1_loss: float = 0.01
    label_recall_loss: float = 0.10
    # Four or five messages of the golden set: less is chance.
    false_flags_gain: float = 5.0
    cases_loss: float = 0.02


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Whether to promote, and every reason for or against."""

    promoted: bool
    reasons: tuple[str, ...] = field(default=())


def decide(
    candidate: Evaluation,
    serving: Evaluation,
    *,
    cases_candidate: float,
    cases_serving: float,
    policy: GatePolicy,
) -> GateDecision:
    """
    Compare two models on the same golden set and on the same reviewed cases.

    `cases_…` are the shares of held-out reviewed cases judged as the reviewers did,
    1.0 when there are none.
    """
    against: list[str] = []
    if not math.isfinite(serving.any_violation.f1.value + candidate.any_violation.f1.value):
        against.append("the golden set says nothing: it has no violation, or neither model found one")
    lost = serving.any_violation.f1.value - candidate.any_violation.f1.value
    if lost > policy.f1_loss:
        against.append(
            f"F1 of any violation falls from {serving.any_violation.f1.value:.3f} to {candidate.any_violation.f1.value:.3f}"
        )
    for label, score in serving.labels.items():
        fallen = score.recall.value - candidate.labels[label].recall.value
        if score.support >= LEAST_SUPPORT and fallen > policy.label_recall_loss:
            against.append(
                f"recall of {label} falls from {score.recall.value:.2f} to {candidate.labels[label].recall.value:.2f}"
            )
    gained = candidate.false_flags_per_1000.value - serving.false_flags_per_1000.value
    if gained > policy.false_flags_gain:
        before, after = serving.false_flags_per_1000.value, candidate.false_flags_per_1000.value
        against.append(f"false flags per 1,000 compliant messages rise from {before:.1f} to {after:.1f}")
    if cases_serving - cases_candidate > policy.cases_loss:
        against.append(f"agreement with reviewers falls from {cases_serving:.1%} to {cases_candidate:.1%}")
    if against:
        return GateDecision(False, tuple(against))
    return GateDecision(
        True,
        (
            f"F1 {serving.any_violation.f1.value:.3f} → {candidate.any_violation.f1.value:.3f}",
            f"false flags per 1,000: {serving.false_flags_per_1000.value:.1f} → {candidate.false_flags_per_1000.value:.1f}",
            f"agreement with reviewers {cases_serving:.1%} → {cases_candidate:.1%}",
        ),
    )
