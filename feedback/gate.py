"""The gate: a candidate replaces the model in service only where it loses little, or no more than chance would."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from feedback.evaluation.metrics import Judgement

Pair = tuple[Judgement, Judgement]


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """
    What the candidate may lose against another model, as shares of the messages that both judge.

    Of the golden set: `wrong` of all its messages (a violation missed or a compliant message flagged; this is
    the tight one, for it hardly moves with a threshold), `missed` of its violations, `flagged` of its
    compliant messages, `label_missed` of the violations with one label. The golden set that ships has about
    1,600 violations (122 to 305 a label) and 5,650 compliant messages: 25 more judged wrongly, 32 more missed,
    16 more flagged, 9 to 24 of a label.

    Of the held-out cases: `cases` of those that reviewers confirmed, and of those that they dismissed. They are
    there because the model in service flagged or doubted them, and at its border any other model loses some.

    Two models that judge many messages differently may differ by more than that by chance. So `errors` standard
    errors of the difference pass as well, `label_errors` where it is one of many labels. A conversation counts as
    one draw. So four messages lost and none won are always chance; five are not (of a label, seven), where
    the share lets no more pass.
    """

    wrong: float = 0.0035
    missed: float = 0.02
    flagged: float = 0.003
    label_missed: float = 0.08
    cases: float = 0.05
    errors: float = 2.0
    label_errors: float = 2.5


@dataclass(frozen=True, slots=True)
class Judged:
    """
    What one model says of the golden set and of the held-out reviewed cases.

    `name` is for people, `labels` are those that the model knows. The messages are the same for
    all models, in the same order. `cases` is None for a model that is not measured on them: which
    messages became cases was up to the models that served, and a dismissed one is held against these only.
    """

    name: str
    labels: frozenset[str]
    golden: Sequence[Judgement]
    cases: Sequence[Judgement] | None = None


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Whether to promote, and every reason for or against."""

    promoted: bool
    reasons: tuple[str, ...] = field(default=())


def decide(candidate: Judged, others: Sequence[Judged], *, policy: GatePolicy) -> GateDecision:
    """
    Compare the candidate with each of the other models; it must stand against all of them.

    Violations and compliant messages are counted apart: reviewed cases are there because the machine flagged or
    doubted them, so where most are dismissed a model that flags nothing would agree with reviewers most. A
    violation of which the other model knows no label is left out of the comparison with that model.
    """
    reasons: list[str] = []
    against: list[str] = []
    for other in others:
        known = other.labels & candidate.labels
        golden = _compared(other.golden, candidate.golden, known)
        cases = _compared(other.cases, candidate.cases or (), known) if other.cases is not None else []
        unknown = sorted(candidate.labels - known)
        told = (
            f" (without violations of {', '.join(unknown)} only, which it does not know)" if unknown else ""
        )
        name = f"against {other.name}{told}"
        if not any(one.gold for one, _ in golden) or all(one.gold for one, _ in golden):
            against.append(
                f"{name}: the golden set says nothing, it has no violation that both may know, or nothing else"
            )
        counts = [
            _counted(
                "golden messages judged wrongly", golden, _is_wrong, policy.wrong, policy.errors, worse=1
            ),
            _missed("golden violations found", golden, policy.missed, policy.errors),
            _flagged("compliant golden messages flagged", golden, policy.flagged, policy.errors),
            _missed("confirmed cases found", cases, policy.cases, policy.errors),
            _flagged("dismissed cases flagged", cases, policy.cases, policy.errors),
        ]
        labels = [
            _missed(
                f"golden messages with {label} named so",
                golden,
                policy.label_missed,
                policy.label_errors,
                label,
            )
            for label in sorted(known)
        ]
        reasons.append(f"{name}: {', '.join(str(count) for count in counts if count.total)}")
        against += [
            f"{name}: {count}, {count.lost} for the worse; at most {count.allowed} pass"
            for count in (*counts, *labels)
            if count.lost > count.allowed
        ]
    return GateDecision(False, tuple(against)) if against else GateDecision(True, tuple(reasons))


@dataclass(frozen=True, slots=True)
class _Count:
    """How many of `total` messages one model reported `before` and the candidate reports `after`."""

    what: str
    before: int
    after: int
    total: int
    lost: int
    allowed: int

    def __str__(self) -> str:
        return f"{self.what} {self.before} → {self.after} of {self.total}"


def _compared(
    other: Sequence[Judgement], candidate: Sequence[Judgement], known: frozenset[str]
) -> list[Pair]:
    return [(one, two) for one, two in zip(other, candidate, strict=True) if not one.gold or one.gold & known]


def _missed(
    what: str, pairs: Sequence[Pair], share: float, errors: float, label: str | None = None
) -> _Count:
    def found(row: Judgement) -> bool:
        return label in row.found if label is not None else bool(row.found)

    chosen = [pair for pair in pairs if (label in pair[0].gold if label is not None else pair[0].gold)]
    return _counted(what, chosen, found, share, errors, worse=-1)


def _flagged(what: str, pairs: Sequence[Pair], share: float, errors: float) -> _Count:
    chosen = [pair for pair in pairs if not pair[0].gold]
    return _counted(what, chosen, lambda row: bool(row.found), share, errors, worse=1)


def _is_wrong(row: Judgement) -> bool:
    return bool(row.found) != bool(row.gold)


def _counted(
    what: str,
    pairs: Sequence[Pair],
    reported: Callable[[Judgement], bool],
    share: float,
    errors: float,
    *,
    worse: int,
) -> _Count:
    """`worse` is 1 where more is worse, -1 where less is."""
    change: Counter[str] = Counter()
    for one, two in pairs:
        change[one.conversation_id] += reported(two) - reported(one)
    chance = errors * math.sqrt(sum(net * net for net in change.values()))
    return _Count(
        what,
        before=sum(reported(one) for one, _ in pairs),
        after=sum(reported(two) for _, two in pairs),
        total=len(pairs),
        lost=worse * sum(change.values()),
        allowed=math.floor(max(share * len(pairs), chance)),
    )
