"""Rules as the engine runs them, and what it is asked about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from rules.catalogue import Catalogue
from rules.schema import Examples, Reading, RuleStatus

LOOKED_AT_STATUSES: frozenset[RuleStatus] = frozenset({"live", "shadow"})

# The group that holds the hit, in expressions that take a character along to see what stands before.
HIT_GROUP = "hit"


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
    jurisdiction: str | None = None


@dataclass(frozen=True, slots=True)
class TokenPattern:
    """A spaCy token pattern and the words without which it is not tried."""

    tokens: tuple[Mapping[str, Any], ...]
    anchors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matchers:
    """
    What an item list compiles to: linear-time expressions and token patterns.

    `exceptions` are the expressions that cancel the matches of one expression.
    """

    expressions: tuple[str, ...] = ()
    tokens: tuple[TokenPattern, ...] = ()
    exceptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    product_kinds: frozenset[str] | None = None

    def applies(self, scene: Scene) -> bool:
        """False where the guard is for kinds of product of which the scene's is none, or is unknown."""
        return self.product_kinds is None or scene.product_kind in self.product_kinds


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, checked and compiled. `content_hash` changes with anything but its examples."""

    id: str
    version: int
    status: RuleStatus
    label: str
    areas: tuple[str, ...]
    severity: str
    score: float
    speakers: frozenset[str]
    product_kinds: frozenset[str] | None
    channels: frozenset[str] | None
    jurisdictions: frozenset[str] | None
    reading: Reading | None
    since: date | None
    until: date | None
    hits: Matchers
    asked: Matchers | None
    asked_within: int
    asked_directly: bool
    unless: Matchers
    guards: tuple[str, ...]
    traits: tuple[str, ...]
    basis: tuple[str, ...]
    reason: str
    examples: Examples = field(repr=False)
    file: str = ""
    line: int = 1
    content_hash: str = ""

    def runs_under(self, reading: Reading) -> bool:
        """True when the engine looks at the rule at all: live or shadow, and of this reading of forecasts."""
        return self.status in LOOKED_AT_STATUSES and self.reading in (None, reading)

    def applies(self, scene: Scene) -> bool:
        """True when speaker, date, product kind, channel and jurisdiction fit."""
        return self.outside(scene) is None

    def outside(self, scene: Scene) -> str | None:
        """What about the scene does not fit, in words; None when all fits. Unknown facts never excuse."""
        if scene.line.speaker not in self.speakers:
            return f"the speaker is {scene.line.speaker}"
        if scene.on and self.since and scene.on < self.since:
            return f"in force only from {self.since}"
        if scene.on and self.until and scene.on > self.until:
            return f"in force only until {self.until}"
        if self.product_kinds and scene.product_kind and scene.product_kind not in self.product_kinds:
            return f"only for products of kind {', '.join(sorted(self.product_kinds))}"
        if self.channels and scene.channel and scene.channel not in self.channels:
            return f"only on channel {', '.join(sorted(self.channels))}"
        if self.jurisdictions and scene.jurisdiction and scene.jurisdiction not in self.jurisdictions:
            return f"only in {', '.join(sorted(self.jurisdictions))}"
        return None


@dataclass(frozen=True, slots=True)
class Pack:
    """
    Everything that is needed to judge by rules. `hash` names the exact content of the folder `root`.

    `hidden_words` are those that people write with characters of the same sound or shape.
    """

    catalogue: Catalogue
    rules: tuple[Rule, ...]
    guards: Mapping[str, CompiledGuard]
    hash: str
    root: Path | None = None
    hidden_words: tuple[str, ...] = ()

    def rule(self, rule_id: str) -> Rule:
        """
        The rule with this id.

        Raises KeyError when there is none.
        """
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)
