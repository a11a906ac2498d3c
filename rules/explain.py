"""Why a message is hit or not, step by step, for people who write rules."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rules.disguise.reading import SEAM
from rules.engine import Engine, Examination
from rules.loader import with_rules
from rules.model import Pack, Rule, Scene
from rules.schema import RuleStatus

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A stretch of the original that normalisation writes otherwise."""

    span: Span
    original: str
    normalised: str


@dataclass(frozen=True, slots=True)
class ReadAs:
    """A stretch of the original that may stand for a word of the pack. `how` says what is odd about it."""

    span: Span
    original: str
    word: str
    how: str


@dataclass(frozen=True, slots=True)
class Unused:
    """A rule whose words stand in the message, and why it does not count for it."""

    rule: Rule
    spans: tuple[Span, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that the rules made of one message. `unused` rules would match, were they in force for it."""

    seen: Examination
    rewritings: tuple[Rewriting, ...]
    read_as: tuple[ReadAs, ...]
    unused: tuple[Unused, ...]


def explain(pack: Pack, scene: Scene) -> Explanation:
    """Judge a scene, and look also at the rules that do not apply to it."""
    seen = Engine(pack).examine(scene)
    return Explanation(seen, tuple(_rewritings(seen)), tuple(_read_as(seen)), tuple(_unused(pack, scene)))


def _read_as(seen: Examination) -> Iterator[ReadAs]:
    """Every disguise of every reading, once; what was only taken out stands for no word."""
    disguises = [item for reading in seen.readings for item in reading.disguises if item.how != SEAM]
    for item in sorted(dict.fromkeys(disguises), key=lambda item: (item.start, item.end)):
        start, end = seen.text.original_span(item.start, item.end)
        yield ReadAs((start, end), seen.text.original[start:end], item.word, item.how)


def _rewritings(seen: Examination) -> Iterator[Rewriting]:
    """Neighbouring characters that changed are told as one stretch."""
    text = seen.text
    begun: list[int] = []
    for index in range(len(text.text) + 1):
        at_end = index == len(text.text)
        same = (
            not at_end
            and text.original[text.starts[index] : text.ends[index]] == text.text[index]
            and (index == 0 or text.starts[index] == text.ends[index - 1])
        )
        if not same and not at_end:
            begun.append(index)
        elif begun:
            first, last = begun[0], begun[-1]
            _, end = text.original_span(first, last + 1)
            start = text.ends[first - 1] if first else 0  # what was dropped before it belongs to it
            yield Rewriting((start, end), text.original[start:end], text.text[first : last + 1])
            begun = []


def _unused(pack: Pack, scene: Scene) -> Iterator[Unused]:
    reasons = {rule.id: _why_unused(rule, pack, scene) for rule in pack.rules}
    tried = [_unbound(rule) for rule in pack.rules if reasons[rule.id]]
    if not tried:
        return
    for hit in Engine(with_rules(pack, tried)).examine(scene).hits:
        why = reasons[hit.rule.id]
        assert why is not None
        yield Unused(pack.rule(hit.rule.id), hit.spans, why)


def _why_unused(rule: Rule, pack: Pack, scene: Scene) -> str | None:
    if rule.status in ("draft", "retired"):
        return f"its status is {rule.status}"
    if rule.reading not in (None, pack.catalogue.forecasts):
        return f"the catalogue reads forecasts as {pack.catalogue.forecasts}, the rule is for {rule.reading}"
    return rule.outside(scene)


def _unbound(rule: Rule) -> Rule:
    """The rule as it would be were it in force for every scene."""
    live: RuleStatus = "live"
    everyone = frozenset({"advisor", "customer", "bot", "other"})
    return replace(
        rule,
        status=live,
        reading=None,
        speakers=everyone,
        since=None,
        until=None,
        product_kinds=None,
        channels=None,
        jurisdictions=None,
    )
