"""The nouns that everything above shares: Message, Turn, Evidence, Finding, Verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal


class Speaker(StrEnum):
    """Who said it. Only a customer's words can never be a violation."""

    ADVISOR = "advisor"
    CUSTOMER = "customer"
    BOT = "bot"
    OTHER = "other"


class Severity(StrEnum):
    """How grave a finding is, ordered from `LOW` to `CRITICAL` by `rank`."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low … 3 for critical."""
        return list(Severity).index(self)


class Outcome(StrEnum):
    """What the machine says of a message. `UNDECIDED` always reaches a person."""

    CLEAN = "clean"
    FLAGGED = "flagged"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Product:
    """The product that a conversation is about, as the CRM names it."""

    code: str | None = None
    name: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """
    One message of a conversation, as decoded from the wire.

    `sent_at` is timezone-aware. `text` is the original, never normalised; every
    offset elsewhere counts its Unicode code points. `attributes` also carries the
    wire fields that the schema does not know.
    """

    message_id: str
    conversation_id: str
    sent_at: datetime
    speaker: Speaker
    text: str
    seq: int | None = None
    channel: str | None = None
    advisor_id: str | None = None
    customer_id: str | None = None
    branch: str | None = None
    product: Product | None = None
    language: str = "zh"
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """A message with those before it in its conversation, oldest first."""

    message: Message
    before: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Evidence:
    """A span of the original text: code-point offsets, `end` exclusive."""

    start: int
    end: int
    text: str


SourceKind = Literal["rule", "model", "memory", "judge"]


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """What produced a finding: a rule id with its version, a model with its version."""

    kind: SourceKind
    id: str
    version: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One label found in one message, with its proof and its reason in the reader's language."""

    label: str
    severity: Severity
    score: float
    sources: tuple[Source, ...]
    evidence: tuple[Evidence, ...]
    traits: tuple[str, ...] = ()
    basis: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Versions:
    """Everything that must be the same for a verdict to be recomputed."""

    catalogue: str
    pack: str
    model: str | None
    memory: str | None
    code: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What redline says of one message.

    `shadow` are findings of rules on trial, one for each rule: they are recorded, and
    count for nothing else here.

    `degraded` is true when a configured detector could not take part.
    `queue_reasons` says why a person should look: `flagged`, `undecided`,
    `disagreement`, `degraded`, `like_dismissed`. `priority` is 0–100, higher is sooner. `content_hash` names
    the words that were judged (`streams.identity`): an id may be sent again with others.
    """

    message_id: str
    conversation_id: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    priority: int
    degraded: bool
    queue_reasons: tuple[str, ...]
    versions: Versions
    detected_at: datetime
    latency_ms: float
    content_hash: str = ""
    shadow: tuple[Finding, ...] = ()

    @property
    def flagged(self) -> bool:
        """True when the outcome is `flagged`."""
        return self.outcome is Outcome.FLAGGED

    @property
    def amended(self) -> bool:
        """True when the LLM judge flagged what the other detectors had left undecided (`detectors.judge`)."""
        return any(source.kind == "judge" for finding in self.findings for source in finding.sources)

    @property
    def standing(self) -> tuple[bool, datetime]:
        """
        Of several verdicts on the same words the one with the greatest standing is *the* verdict.

        An amended one stands until a person decides: a message that is delivered again is judged
        again, without the judge, and must not take its opinion back. Else the latest counts.
        """
        return self.amended, self.detected_at
