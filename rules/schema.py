"""What a pack's files may say. Validation only; `rules.loader` turns it into rules."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from rules.token_schema import check_token

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
SeverityName = Literal["low", "medium", "high", "critical"]
SpeakerName = Literal["advisor", "customer", "bot", "other"]
RuleStatus = Literal["draft", "shadow", "live", "retired"]

Scope = Literal["clause", "sentence", "message"]
Reading = Literal["standard", "strict"]
BasisKind = Literal["statutory", "practice"]

MOST_GAP = 40


class Strict(BaseModel):
    """Unknown keys are errors: a misspelt key must not silently do nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FigureBounds(Strict):
    """
    Which figures count, by value: `{above: 6, unit: percent}`.

    `above` and `below` leave the bound itself out, `at_least` and `at_most` take it
    in. Of a range (6-8%) the upper end counts for a lower bound and the lower end
    for an upper bound. Texts are compared after normalisation, so 八个点 is 8 %.
    """

    above: float | None = Field(default=None, ge=0, le=100_000)
    at_least: float | None = Field(default=None, ge=0, le=100_000)
    below: float | None = Field(default=None, gt=0, le=100_000)
    at_most: float | None = Field(default=None, ge=0, le=100_000)
    unit: Literal["percent", "times"] = "percent"

    @model_validator(mode="after")
    def _bounds_fit(self) -> "FigureBounds":
        if self.above is not None and self.at_least is not None:
            raise ValueError("give 'above' or 'at_least', not both")
        if self.below is not None and self.at_most is not None:
            raise ValueError("give 'below' or 'at_most', not both")
        low = self.above if self.above is not None else self.at_least
        high = self.below if self.below is not None else self.at_most
        if low is not None and high is not None and int(low) >= int(high):
            raise ValueError(f"no whole number lies between the bounds {low:g} and {high:g}")
        return self


class FigurePart(Strict):
    """A figure as a part of `near` or `sequence`."""

    figure: FigureBounds


Part = Text | FigurePart


class Unless(Strict):
    """
    What cancels a match: exactly one of `term`, `pattern`, `lexicon`.

    Without `scope` it cancels a match that it overlaps; with one, every match in the
    clause, sentence or message in which it stands.
    """

    term: Text | None = None
    pattern: Text | None = None
    lexicon: Name | None = None
    scope: Scope | None = None
    reading: Reading | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Unless":
        _exactly_one(self, ("term", "pattern", "lexicon"))
        return self


class Item(Strict):
    """
    One way to match: exactly one of the eight kinds.

    `term` is literal text, `pattern` a linear-time regular expression in which
    `{name}` stands for a lexicon, `lexicon` a word list by name, `figure` a number
    by its value. `near` is two or more parts in any order, `sequence` in the given
    order, each at most `gap` characters after the one before, within one clause (or
    `scope: sentence`). `reply` is a message that only says yes, in the words of a
    lexicon. `tokens` is a spaCy token pattern that is tried only where one of
    `anchors` occurs.

    `unless` cancels matches of this item alone. With `reading`, the item counts only
    where the catalogue reads forecasts that way.
    """

    term: Text | None = None
    pattern: Text | None = None
    lexicon: Name | None = None
    figure: FigureBounds | None = None
    near: list[Part] | None = Field(default=None, min_length=2, max_length=3)
    sequence: list[Part] | None = Field(default=None, min_length=2, max_length=6)
    gap: int = Field(default=8, ge=0, le=MOST_GAP)
    scope: Literal["clause", "sentence"] = "clause"
    reply: Name | None = None
    tokens: list[dict[str, Any]] | None = Field(default=None, min_length=1)
    anchors: list[Text] | None = Field(default=None, min_length=1)
    unless: list[Unless] = Field(default_factory=list)
    reading: Reading | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Item":
        _exactly_one(self, ("term", "pattern", "lexicon", "figure", "near", "sequence", "reply", "tokens"))
        if (self.tokens is None) != (self.anchors is None):
            msg = "'tokens' and 'anchors' go together: anchors are the words without which the pattern is not tried"
            raise ValueError(msg)
        if self.tokens is not None and self.unless:
            raise ValueError("an item with 'tokens' has no exceptions of its own; use the rule's 'unless'")
        for number, token in enumerate(self.tokens or (), start=1):
            check_token(number, token)
        return self


def _exactly_one(item: BaseModel, names: tuple[str, ...]) -> None:
    kinds = [name for name in names if getattr(item, name) is not None]
    if len(kinds) != 1:
        found = ", ".join(kinds) or "none"
        raise ValueError(f"give exactly one of {', '.join(names)} (found: {found})")


class ContextCondition(Strict):
    """
    The rule counts only where the customer asked for one of `items` in the last `within` customer messages.

    With `direct`, the message answers at once: nobody else spoke since the question.
    """

    customer_asks: list[Item] = Field(min_length=1)
    within: int = Field(default=2, ge=1, le=6)
    direct: bool = False


class Effective(Strict):
    """Days on which the rule applies, both inclusive. Without `since`, from the day the first cited law was in force."""

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
    """
    One rule, as its author writes it.

    `areas` are the kinds of business that it belongs to (catalogue.yaml lists them).
    A rule with `reading` runs only where the catalogue reads forecasts that way; one
    with `jurisdictions` only on messages that name no other. `score` is how sure a hit
    is; from 0.95 up it is flagged also where the model denies it (`detectors.cascade`).
    """

    id: Id
    version: int = Field(default=1, ge=1)
    status: RuleStatus = "live"
    label: Name
    areas: list[Name] = Field(default_factory=list)
    severity: SeverityName | None = None
    score: float = Field(default=0.9, gt=0, le=1)
    speaker: list[SpeakerName] = Field(default=["advisor", "bot", "other"], min_length=1)
    product_kinds: list[Text] | None = None
    channels: list[Text] | None = None
    jurisdictions: list[Name] | None = Field(default=None, min_length=1)
    reading: Reading | None = None
    effective: Effective = Effective()
    any: list[Item] = Field(min_length=1)
    context: ContextCondition | None = None
    unless: list[Unless] = Field(default_factory=list)
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
    back where it overlaps the guarding words (a double negation). With `product_kinds`
    it holds only where the message speaks of such a product; where the kind is not
    known, it does not.
    """

    description: Text
    product_kinds: list[Text] | None = Field(default=None, min_length=1)
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
    """
    The risk catalogue of one jurisdiction.

    `forecasts` is how forecasts are read: *standard* lets a sourced forecast pass
    that is marked as only a possibility; *strict* takes every forecast of a product's
    performance as a violation, as the sales rules literally read. `areas` are the
    kinds of business that rules are sorted by.
    """

    jurisdiction: Name
    version: Text
    language: Literal["zh", "en"]
    forecasts: Reading = "standard"
    areas: dict[Name, Text] = Field(default_factory=dict)
    traits: dict[Name, TraitEntry]
    labels: list[LabelEntry] = Field(min_length=1)


class Article(Strict):
    """One article: what it says in a sentence. `mark`: A and Q were read, B is second-hand, U unverified."""

    says: Text
    mark: Literal["A", "Q", "B", "U"]


class Instrument(Strict):
    """
    A law or rule that findings cite.

    `kind` says whether it binds by law (statutes, regulations, rules of a regulator
    or of a self-regulatory body) or only shows what the industry does.
    """

    title: Text
    kind: BasisKind = "statutory"
    english: Text | None = None
    issuer: Text
    in_force: date | None = None
    articles: dict[str, Article] = Field(min_length=1)


class LegalFile(Strict):
    """The instruments of one jurisdiction by id."""

    instruments: dict[str, Instrument]
