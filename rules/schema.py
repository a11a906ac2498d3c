"""What a pack's files may say. Validation only; `rules.loader` turns it into rules."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
SeverityName = Literal["low", "medium", "high", "critical"]
SpeakerName = Literal["advisor", "customer", "bot", "other"]
RuleStatus = Literal["draft", "shadow", "live", "retired"]

MOST_GAP = 40


class Strict(BaseModel):
    """Unknown keys are errors: a misspelt key must not silently do nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(Strict):
    """
    One way to match: exactly one of the five kinds.

    `term` is literal text, `pattern` a linear-time regular expression in which
    `{name}` stands for a lexicon, `lexicon` a word list by name, `near` two or
    more lexicons or terms in any order within `gap` characters of one clause,
    `tokens` a spaCy token pattern that is tried only where one of `anchors` occurs.
    """

    term: Text | None = None
    pattern: Text | None = None
    lexicon: Name | None = None
    near: list[Text] | None = Field(default=None, min_length=2, max_length=3)
    gap: int = Field(default=8, ge=0, le=MOST_GAP)
    tokens: list[dict[str, Any]] | None = Field(default=None, min_length=1)
    anchors: list[Text] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> "Item":
        kinds = [
            name
            for name in ("term", "pattern", "lexicon", "near", "tokens")
            if getattr(self, name) is not None
        ]
        if len(kinds) != 1:
            msg = f"give exactly one of term, pattern, lexicon, near, tokens (found: {', '.join(kinds) or 'none'})"
            raise ValueError(msg)
        if (self.tokens is None) != (self.anchors is None):
            msg = "'tokens' and 'anchors' go together: anchors are the words without which the pattern is not tried"
            raise ValueError(msg)
        return self


class ContextCondition(Strict):
    """The rule counts only where the customer asked for one of `items` in the last `within` customer messages."""

    customer_asks: list[Item] = Field(min_length=1)
    within: int = Field(default=2, ge=1, le=6)


class Effective(Strict):
    """Days on which the rule applies, both inclusive."""

    since: date | None = None
    until: date | None = None


class ExampleTurn(Strict):
    """An example with the messages before it: `before: [[customer, 能保证6%吗]]`."""

    text: Text
    before: list[tuple[SpeakerName, Text]] = Field(default_factory=list)
    speaker: SpeakerName = "advisor"
    product_kind: str | None = None
    channel: str | None = None


class Examples(Strict):
    """What the rule must and must not hit. `evasive` are disguised writings that it must hit."""

    flagged: list[Text | ExampleTurn] = Field(min_length=2)
    allowed: list[Text | ExampleTurn] = Field(min_length=2)
    evasive: list[Text | ExampleTurn] = Field(default_factory=list)


class RuleFile(Strict):
    """One rule, as its author writes it."""

    id: Id
    version: int = Field(default=1, ge=1)
    status: RuleStatus = "live"
    label: Name
    severity: SeverityName | None = None
    score: float = Field(default=0.9, gt=0, le=1)
    speaker: list[SpeakerName] = Field(default=["advisor", "bot", "other"], min_length=1)
    product_kinds: list[Text] | None = None
    channels: list[Text] | None = None
    effective: Effective = Effective()
    any: list[Item] = Field(min_length=1)
    context: ContextCondition | None = None
    unless: list[Item] = Field(default_factory=list)
    guards: list[Name] | None = None
    traits: list[Name] | None = None
    basis: list[Text] = Field(default_factory=list)
    reason: Text
    examples: Examples


class Guard(Strict):
    """
    A reason not to hit, shared by rules.

    `before` must end at most `within` characters before the hit, `after` start at
    most `within` after it, both inside the hit's clause; `sentence` may stand
    anywhere in its sentence; `around` must overlap it. `never` takes the guard
    back where it overlaps the guarding words (a double negation).
    """

    description: Text
    before: list[Text] = Field(default_factory=list)
    after: list[Text] = Field(default_factory=list)
    sentence: list[Text] = Field(default_factory=list)
    around: list[Text] = Field(default_factory=list)
    never: list[Text] = Field(default_factory=list)
    within: int = Field(default=6, ge=0, le=MOST_GAP)
    default: bool = True


class GuardsFile(Strict):
    """All guards of a pack. Rules use every `default` guard unless they list their own."""

    guards: dict[Name, Guard]


class LexiconFile(Strict):
    """A named word list. `words` are literal, `patterns` regular expressions that may use other lexicons."""

    description: Text
    words: list[Text] = Field(default_factory=list)
    patterns: list[Text] = Field(default_factory=list)

    @model_validator(mode="after")
    def _not_empty(self) -> "LexiconFile":
        if not self.words and not self.patterns:
            msg = "a lexicon needs words or patterns"
            raise ValueError(msg)
        return self


class TraitEntry(Strict):
    """What makes a finding hard, in the regulator's view."""

    name: Text
    definition: Text


class LabelEntry(Strict):
    """One kind of violation."""

    id: Name
    name: Text
    definition: Text
    severity: SeverityName
    traits: list[Name] = Field(default_factory=list)
    typical: list[Text] = Field(min_length=3)
    exemptions: list[Text] = Field(min_length=1)
    basis: list[Text] = Field(min_length=1)


class CatalogueFile(Strict):
    """The risk catalogue of one jurisdiction."""

    jurisdiction: Name
    version: Text
    language: Literal["zh", "en"]
    traits: dict[Name, TraitEntry]
    labels: list[LabelEntry] = Field(min_length=1)


class Article(Strict):
    """One article: what it says in a sentence. `mark`: A and Q were read, B is second-hand, U unverified."""

    says: Text
    mark: Literal["A", "Q", "B", "U"]


class Instrument(Strict):
    """A law or rule that findings cite."""

    title: Text
    english: Text | None = None
    issuer: Text
    in_force: date | None = None
    articles: dict[str, Article] = Field(min_length=1)


class LegalFile(Strict):
    """The instruments of one jurisdiction by id."""

    instruments: dict[str, Instrument]
