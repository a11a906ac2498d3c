"""Rule hits become findings."""

from collections.abc import Sequence
from typing import Literal

from detectors.base import Opinion
from detectors.domain import Evidence, Finding, Message, Severity, Source, Speaker, Turn
from rules.engine import Engine, Hit
from rules.model import Line, Scene

# The attribute by which a message names the law it falls under.
JURISDICTION = "jurisdiction"


class RuleDetector:
    """
    Flags turns by the compiled rules of one pack.

    Matching runs on normalised text; evidence refers to the original.
    """

    name: Literal["rules"] = "rules"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def version(self) -> str:
        """The pack's content hash."""
        return self.engine.pack.hash

    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        """One opinion per turn. Hits of shadow rules are on trial, not findings; customers are not judged."""
        return [self._opinion(turn) for turn in turns]

    def _opinion(self, turn: Turn) -> Opinion:
        if turn.message.speaker is Speaker.CUSTOMER:
            return Opinion()
        try:
            hits = self.engine.hits(scene_of(turn))
        except Exception as error:  # one text must not take its neighbours' verdicts with it
            return Opinion(failure=type(error).__name__)
        live, shadow = (
            tuple(self._finding(turn.message, hit) for hit in hits if hit.rule.status == status)
            for status in ("live", "shadow")
        )
        return Opinion(live, shadow=shadow)

    def _finding(self, message: Message, hit: Hit) -> Finding:
        rule = hit.rule
        label = self.engine.pack.catalogue.labels[rule.label]
        return Finding(
            label=rule.label,
            severity=Severity(rule.severity or label.severity),
            score=rule.score,
            sources=(Source("rule", rule.id, str(rule.version)),),
            evidence=tuple(Evidence(start, end, message.text[start:end]) for start, end in hit.spans),
            traits=rule.traits or tuple(label.traits),
            basis=rule.basis or tuple(label.basis),
            reason=rule.reason,
        )


def scene_of(turn: Turn) -> Scene:
    """The turn as the rules see it."""
    message = turn.message
    return Scene(
        _line(message),
        tuple(_line(earlier) for earlier in turn.before),
        on=message.sent_at.date(),
        product_kind=message.product.kind if message.product else None,
        channel=message.channel,
        jurisdiction=message.attributes.get(JURISDICTION),
    )


def _line(message: Message) -> Line:
    return Line(message.speaker.value, message.text)
