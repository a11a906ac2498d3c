"""Merges what the detectors say into one verdict. Nothing fails into "clean"."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from time import perf_counter

from detectors.base import Detector, FailureWatch, Opinion
from detectors.domain import Evidence, Finding, Outcome, Severity, Speaker, Turn, Verdict, Versions
from detectors.explanation import explain
from rules.catalogue import Catalogue

# Queue priority: where a finding of this severity starts, and what its score adds.
BASE_PRIORITY = {Severity.LOW: 20, Severity.MEDIUM: 40, Severity.HIGH: 60, Severity.CRITICAL: 80}
SCORE_SHARE = 20
UNCERTAIN_SHARE = 0.5
DISMISSED_SHARE = 0.5
UNJUDGED_PRIORITY = 15
# A rule whose author gives it so much stands by itself, whatever another detector thinks of the message.
STANDS_FROM = 0.95
# These speak of messages that they know; their silence is no judgement.
WITNESSES = frozenset({"memory"})

DISMISSED_LIKE = "like_dismissed"
# Why a detector failed that gave more or fewer opinions than there were turns.
MISCOUNTED = "wrong_number_of_opinions"

Clock = Callable[[], datetime]


class Cascade:
    """
    Asks every detector and gives one verdict per turn.

    A label found by any detector is a finding; all its sources and evidence stay
    with it. What rules alone find and another detector denies is `undecided`, unless the score of such
    a rule is at least `STANDS_FROM`. A detector that fails
    makes the verdict `degraded`, and `undecided` unless another detector flags the message.
    Customers are never judged.
    `clock` gives `detected_at`; `latency_ms` is the turn's share of its batch. `watch` is told
    which detectors failed.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        catalogue: Catalogue,
        versions: Versions,
        clock: Clock,
        *,
        watch: FailureWatch | None = None,
    ) -> None:
        self.detectors = tuple(detectors)
        self.catalogue = catalogue
        self.versions = versions
        self._clock = clock
        self._watch = watch

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        """One verdict per turn, in order."""
        if not turns:
            return []
        started = perf_counter()
        heard = [self._ask(detector, turns) for detector in self.detectors]
        detected_at = self._clock()
        merged = [self._merge(turn, [opinions[i] for opinions in heard]) for i, turn in enumerate(turns)]
        latency_ms = round((perf_counter() - started) * 1000 / len(turns), 3)
        self._tell(turns, heard)
        return [
            Verdict(
                message_id=turn.message.message_id,
                conversation_id=turn.message.conversation_id,
                outcome=outcome,
                findings=findings,
                priority=priority_of(outcome, findings, dismissed_before=DISMISSED_LIKE in reasons),
                degraded=degraded,
                queue_reasons=reasons,
                versions=self.versions,
                detected_at=detected_at,
                latency_ms=latency_ms,
                shadow=_on_trial(turn, [opinions[i] for opinions in heard]),
            )
            for i, (turn, (outcome, findings, degraded, reasons)) in enumerate(
                zip(turns, merged, strict=True)
            )
        ]

    def _ask(self, detector: Detector, turns: Sequence[Turn]) -> Sequence[Opinion]:
        try:
            opinions = detector.detect(turns)
        except Exception as error:  # a broken detector must not stop the others
            return [Opinion(failure=type(error).__name__)] * len(turns)
        if len(opinions) != len(turns):
            return [Opinion(failure=MISCOUNTED)] * len(turns)
        return opinions

    def _tell(self, turns: Sequence[Turn], heard: Sequence[Sequence[Opinion]]) -> None:
        if self._watch is None:
            return
        staff = [i for i, turn in enumerate(turns) if turn.message.speaker is not Speaker.CUSTOMER]
        for detector, opinions in zip(self.detectors, heard, strict=True):
            failed = Counter(failure for i in staff if (failure := opinions[i].failure))
            self._watch.heard(detector.name, len(staff) - failed.total(), failed)

    def _merge(
        self, turn: Turn, opinions: Sequence[Opinion]
    ) -> tuple[Outcome, tuple[Finding, ...], bool, tuple[str, ...]]:
        if turn.message.speaker is Speaker.CUSTOMER:
            return Outcome.CLEAN, (), False, ()
        degraded = any(opinion.failure for opinion in opinions)
        like_dismissed = (DISMISSED_LIKE,) if any(opinion.dismissed_like for opinion in opinions) else ()
        claims = [finding for opinion in opinions for finding in opinion.findings]
        denied = _denied(claims, opinions)
        found = self._by_label(turn, claims, uncertain=denied, denied=denied)
        if denied:
            reasons = ["undecided", "disagreement", *(["degraded"] if degraded else [])]
            return Outcome.UNDECIDED, found, degraded, (*reasons, *like_dismissed)
        if found:
            reasons = ["flagged"]
            if self._disagree(opinions):
                reasons.append("disagreement")
            if degraded:
                reasons.append("degraded")
            return Outcome.FLAGGED, found, degraded, (*reasons, *like_dismissed)
        uncertain = self._by_label(
            turn, [f for opinion in opinions for f in opinion.uncertain], uncertain=True
        )
        if uncertain or degraded:
            reasons = [*(["undecided"] if uncertain else []), *(["degraded"] if degraded else [])]
            return Outcome.UNDECIDED, uncertain, degraded, (*reasons, *like_dismissed)
        return Outcome.CLEAN, (), False, ()

    def _disagree(self, opinions: Sequence[Opinion]) -> bool:
        """One detector flags what another, which could judge, sees nothing in."""
        heard = zip(self.detectors, opinions, strict=True)
        judged = [
            opinion
            for detector, opinion in heard
            if not opinion.failure and (detector.name not in WITNESSES or opinion.findings)
        ]
        silent = [opinion for opinion in judged if not opinion.findings and not opinion.uncertain]
        return len(judged) > 1 and bool(silent)

    def _by_label(
        self, turn: Turn, findings: Sequence[Finding], *, uncertain: bool, denied: bool = False
    ) -> tuple[Finding, ...]:
        labels = dict.fromkeys(sorted((f.label for f in findings), key=list(self.catalogue.labels).index))
        return tuple(
            self._join(turn, [f for f in findings if f.label == label], uncertain=uncertain, denied=denied)
            for label in labels
        )

    def _join(self, turn: Turn, same: Sequence[Finding], *, uncertain: bool, denied: bool) -> Finding:
        sources = tuple(sorted({source for f in same for source in f.sources}))
        by_rule = [f for f in same if f.sources[0].kind == "rule"]
        by_memory = [f.reason for f in same if f.sources[0].kind == "memory"]
        by_model = [f.score for f in same if f.sources[0].kind == "model"]
        # A rule's span is exact; a model's is a hint, shown where no rule matched.
        spans = union([e for f in (by_rule or same) for e in f.evidence], turn.message.text)
        joined = Finding(
            label=same[0].label,
            severity=max((f.severity for f in same), key=lambda severity: severity.rank),
            score=max(f.score for f in same),
            sources=sources,
            evidence=spans,
            traits=tuple(dict.fromkeys(trait for f in same for trait in f.traits)),
            basis=tuple(dict.fromkeys(ref for f in same for ref in f.basis)),
        )
        reason = explain(
            joined,
            turn,
            self.catalogue,
            rule_reasons=[f.reason for f in by_rule],
            memory_reasons=by_memory,
            model_score=max(by_model) if by_model else None,
            uncertain=uncertain,
            denied=denied,
        )
        return replace(joined, reason=reason)


def _denied(claims: Sequence[Finding], opinions: Sequence[Opinion]) -> bool:
    """Rules that do not stand by themselves found something, and a detector takes any violation for next to impossible."""
    by_rules = all(source.kind == "rule" for finding in claims for source in finding.sources)
    weak = all(finding.score < STANDS_FROM for finding in claims)
    return bool(claims) and by_rules and weak and any(opinion.denies for opinion in opinions)


def _on_trial(turn: Turn, opinions: Sequence[Opinion]) -> tuple[Finding, ...]:
    """What shadow rules found, one finding for each rule: they are tried beside the verdict."""
    if turn.message.speaker is Speaker.CUSTOMER:
        return ()
    return tuple(finding for opinion in opinions for finding in opinion.shadow)


def union(evidence: Sequence[Evidence], text: str) -> tuple[Evidence, ...]:
    """Overlapping spans become one."""
    spans: list[tuple[int, int]] = []
    for item in sorted(evidence):
        if spans and item.start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], item.end))
        else:
            spans.append((item.start, item.end))
    return tuple(Evidence(start, end, text[start:end]) for start, end in spans)


def priority_of(outcome: Outcome, findings: Sequence[Finding], *, dismissed_before: bool) -> int:
    """How soon a person should look, from 0 to 100."""
    share = DISMISSED_SHARE if dismissed_before else 1.0
    if outcome is Outcome.CLEAN:
        return 0
    if not findings:
        return UNJUDGED_PRIORITY
    top = max(BASE_PRIORITY[f.severity] + SCORE_SHARE * f.score for f in findings)
    return round(share * (top if outcome is Outcome.FLAGGED else top * UNCERTAIN_SHARE))
