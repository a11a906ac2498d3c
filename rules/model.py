"""Rules as the engine runs them, and what it is asked about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rules.catalogue import Catalogue
from rules.schema import Examples, RuleStatus

LOOKED_AT_STATUSES: frozenset[RuleStatus] = frozenset({"live", "shadow"})


@dataclass(frozen=True, slots=True)
class Line:
    """One message as the rules see it."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A message with those before it (oldest first) and the facts that rules may ask for."""

    line: Line
    before: tuple[Line, ...] = ()
    on: date | None = None
    product_kind: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class TokenPattern:
    """A spaCy token pattern and the words without which it is not tried."""

    tokens: tuple[Mapping[str, Any], ...]
    anchors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matchers:
    """What an item list compiles to: linear-time expressions and token patterns."""

    expressions: tuple[str, ...] = ()
    tokens: tuple[TokenPattern, ...] = ()


@dataclass(frozen=True, slots=True)
class CompiledGuard:
    """A guard with its lexicons written out."""

    name: str
    description: str
    before: str | None
    after: str | None
    sentence: str | None
    around: str | None
    never: str | None
    within: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, checked and compiled. `content_hash` changes with anything but its examples."""

    id: str
    version: int
    status: RuleStatus
    label: str
    severity: str
    score: float
    speakers: frozenset[str]
    product_kinds: frozenset[str] | None
    channels: frozenset[str] | None
    since: date | None
    until: date | None
    hits: Matchers
    asked: Matchers | None
    asked_within: int
    unless: Matchers
    guards: tuple[str, ...]
    traits: tuple[str, ...]
    basis: tuple[str, ...]
    reason: str
    examples: Examples = field(repr=False)
    file: str = ""
    line: int = 1
    content_hash: str = ""

    def applies(self, scene: Scene) -> bool:
        """True when speaker, date, product kind and channel fit."""
        if scene.line.speaker not in self.speakers:
            return False
        if scene.on and ((self.since and scene.on < self.since) or (self.until and scene.on > self.until)):
            return False
        if self.product_kinds and scene.product_kind and scene.product_kind not in self.product_kinds:
            return False
        return not (self.channels and scene.channel and scene.channel not in self.channels)


@dataclass(frozen=True, slots=True)
class Pack:
    """Everything that is needed to judge by rules. `hash` names the exact content."""

    catalogue: Catalogue
    rules: tuple[Rule, ...]
    guards: Mapping[str, CompiledGuard]
    hash: str

    def rule(self, rule_id: str) -> Rule:
        """
        The rule with this id.

        Raises KeyError when there is none.
        """
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)
