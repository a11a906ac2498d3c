"""Runs the examples that every rule carries: what it must hit, and what it must leave alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from rules.engine import Engine
from rules.loader import with_rules
from rules.model import Line, Pack, Rule, Scene
from rules.schema import ExampleTurn


@dataclass(frozen=True, slots=True)
class Failure:
    """An example that does not hold. `cancelled_by` says what stopped an expected hit."""

    rule: Rule
    kind: str
    text: str
    cancelled_by: str | None = None

    def __str__(self) -> str:
        what = "is hit, but must be allowed" if self.kind == "allowed" else "is not hit"
        why = f" (cancelled by {self.cancelled_by})" if self.cancelled_by else ""
        return f"{self.rule.file}:{self.rule.line}: {self.kind} example {what}{why}: {self.text}"


def scene_of(example: str | ExampleTurn) -> Scene:
    """The scene that an example describes."""
    if isinstance(example, str):
        return Scene(Line("advisor", example))
    before = tuple(Line(speaker, text) for speaker, text in example.before)
    return Scene(
        Line(example.speaker, example.text),
        before,
        product_kind=example.product_kind,
        channel=example.channel,
    )


def check_examples(pack: Pack, rules: Iterable[Rule] | None = None) -> Iterator[Failure]:
    """
    Every example that fails. A rule's own examples are judged by that rule alone.

    A rule that is a draft, retired, or for the other reading of forecasts is checked all the same.
    """
    chosen = list(rules if rules is not None else pack.rules)
    engine = Engine(with_rules(pack, [replace(rule, status="live", reading=None) for rule in chosen]))
    for rule in chosen:
        yield from check_rule(engine, rule)


def check_rule(engine: Engine, rule: Rule) -> Iterator[Failure]:
    """The examples of one rule that fail on an engine whose pack has the rule."""
    expected = [("flagged", example) for example in rule.examples.flagged]
    expected += [("evasive", example) for example in rule.examples.evasive]
    expected += [("allowed", example) for example in rule.examples.allowed]
    for kind, example in expected:
        scene = scene_of(example)
        seen = engine.examine(scene)
        hit = any(found.rule.id == rule.id for found in seen.hits)
        if hit != (kind != "allowed"):
            reasons = [f"{item.by} «{item.because}»" for item in seen.cancelled if item.rule.id == rule.id]
            yield Failure(rule, kind, scene.line.text, reasons[0] if reasons else None)
