"""The rule engine: a scene in, hits with spans in the original text out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from rules.errors import RuleTimeout
from rules.expressions import CLAUSE_MARKS, SENTENCE_MARKS, options
from rules.model import HIT_GROUP, CompiledGuard, Line, Matchers, Pack, Rule, Scene
from rules.prefilter import Prefilter
from rules.text import NormalisedText, normalise
from rules.token_patterns import TokenMatcher

# Past this a message is no chat; a person reads it.
MOST_MATCHES = 400
LONGEST_STRETCH = 120

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A match that does not count, and why: a guard's name, `unless`, or `context`."""

    rule: Rule
    span: Span
    by: str
    because: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that matched. `spans` are code-point offsets into the original text."""

    rule: Rule
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything the engine saw in one scene: what counts, and what was cancelled by what."""

    text: NormalisedText
    hits: tuple[Hit, ...]
    cancelled: tuple[Cancelled, ...]


@lru_cache(maxsize=20_000)
def _compiled(expression: str) -> Any:
    return re2.compile(expression, options())


class Engine:
    """
    Matches every live and shadow rule of a pack.

    One pass over the normalised text finds the patterns whose words occur; only those run, by RE2, in
    time linear in the text. A match
    counts unless a guard or the rule's `unless` cancels it, and, for rules with a
    context, only where the customer asked.
    """

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._tokens = TokenMatcher(pack.catalogue.language)
        self._rules = [rule for rule in pack.rules if rule.runs_under(pack.catalogue.forecasts)]
        self._owners: list[tuple[Rule, str]] = []
        self._with_tokens = [rule for rule in self._rules if rule.hits.tokens]
        for rule in self._rules:
            self._owners.extend((rule, expression) for expression in rule.hits.expressions)
        self._prefilter = Prefilter([expression for _, expression in self._owners])

    @property
    def unfiltered_patterns(self) -> int:
        """Patterns that need no particular word and so cost time on every message."""
        return self._prefilter.unfiltered

    def hits(self, scene: Scene) -> tuple[Hit, ...]:
        """The rules that this message breaks."""
        return self.examine(scene).hits

    def examine(self, scene: Scene) -> Examination:
        """The same with everything that was cancelled, for explanations."""
        text = normalise(scene.line.text)
        found: dict[str, list[Span]] = {}
        rules: dict[str, Rule] = {}
        cancelled: list[Cancelled] = []
        lookup = _Lookup(text.text, self._tokens)
        for examined, (rule, span, exceptions) in enumerate(self._matches(text.text, scene)):
            if examined == MOST_MATCHES:
                raise RuleTimeout(f"more than {MOST_MATCHES} matches in one message; a person has to read it")
            reason = self._cancelled_by(rule, span, exceptions, lookup, scene)
            if reason is None:
                found.setdefault(rule.id, []).append(text.original_span(*span))
                rules[rule.id] = rule
            else:
                cancelled.append(Cancelled(rule, text.original_span(*span), *reason))
        hits = tuple(Hit(rules[rule_id], _merge(spans)) for rule_id, spans in sorted(found.items()))
        return Examination(text, hits, tuple(cancelled))

    def _matches(self, text: str, scene: Scene) -> Iterator[tuple[Rule, Span, Sequence[str]]]:
        if not text:
            return
        for index in self._prefilter.candidates(text):
            rule, expression = self._owners[index]
            if rule.applies(scene):
                exceptions = rule.hits.exceptions.get(expression, ())
                for span in _spans(expression, text):
                    yield rule, span, exceptions
        for rule in self._with_tokens:
            if rule.applies(scene):
                for pattern in rule.hits.tokens:
                    for span in self._tokens.spans(pattern, text):
                        yield rule, span, ()

    def _cancelled_by(
        self, rule: Rule, span: Span, exceptions: Sequence[str], lookup: "_Lookup", scene: Scene
    ) -> tuple[str, str] | None:
        for guard_name in rule.guards:
            guard = self.pack.guards[guard_name]
            words = guard_words(guard, span, lookup)
            if words is not None:
                return guard_name, words
        for start, end in lookup.all_of(rule.unless):
            if _overlap((start, end), span):
                return "unless", lookup.text[start:end]
        for expression in exceptions:
            for start, end in lookup.inside(expression, (0, len(lookup.text))):
                if _overlap((start, end), span):
                    return "unless", lookup.text[start:end]
        if rule.asked is not None and not self._was_asked(rule, scene):
            return "context", "the customer did not ask for it"
        return None

    def _was_asked(self, rule: Rule, scene: Scene) -> bool:
        assert rule.asked is not None
        if rule.asked_directly and scene.before and scene.before[-1].speaker != "customer":
            return False
        questions = _last_customer_lines(scene.before, rule.asked_within)
        return any(_Lookup(normalise(line.text).text, self._tokens).all_of(rule.asked) for line in questions)


class _Lookup:
    """Searches in one text, each made once: many matches ask for the same guards."""

    def __init__(self, text: str, tokens: TokenMatcher) -> None:
        self.text = text
        self._tokens = tokens
        self._found: dict[tuple[str, int, int], list[Span]] = {}
        self._items: dict[int, list[Span]] = {}

    def all_of(self, matchers: Matchers) -> list[Span]:
        """Every match of an item list in the whole text."""
        known = self._items.get(id(matchers))
        if known is None:
            known = [span for expression in matchers.expressions for span in _spans(expression, self.text)]
            known += [span for pattern in matchers.tokens for span in self._tokens.spans(pattern, self.text)]
            self._items[id(matchers)] = known
        return known

    def inside(self, expression: str | None, bounds: Span) -> list[Span]:
        """Matches within `bounds`, as offsets into the whole text."""
        if expression is None:
            return []
        key = (expression, *bounds)
        if key not in self._found:
            offset, stop = bounds
            found = _spans(expression, self.text[offset:stop])
            self._found[key] = [(start + offset, end + offset) for start, end in found]
        return self._found[key]


def _last_customer_lines(before: Sequence[Line], count: int) -> list[Line]:
    return [line for line in before if line.speaker == "customer"][-count:]


def _spans(expression: str, text: str) -> Iterator[Span]:
    group = HIT_GROUP if f"(?P<{HIT_GROUP}>" in expression else 0
    for match in _compiled(expression).finditer(text):
        start, end = match.span(group)
        if end > start:
            yield start, end


def _merge(spans: list[Span]) -> tuple[Span, ...]:
    """Overlapping spans become one, in text order."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def guard_words(guard: CompiledGuard, span: Span, lookup: _Lookup) -> str | None:
    """The words by which a guard cancels the match at `span`, or None."""
    clause = _stretch(lookup.text, span, CLAUSE_MARKS)
    sentence = _stretch(lookup.text, span, SENTENCE_MARKS)
    before = lookup.inside(guard.before, (clause[0], span[0]))
    after = lookup.inside(guard.after, (span[1], clause[1]))
    candidates = [
        *(found for found in before if span[0] - found[1] <= guard.within),
        *(found for found in after if found[0] - span[1] <= guard.within),
        *(found for found in lookup.inside(guard.around, sentence) if _overlap(found, span)),
        *lookup.inside(guard.sentence, sentence),
    ]
    for start, end in candidates:
        if not any(_overlap(never, (start, end)) for never in lookup.inside(guard.never, sentence)):
            return lookup.text[start:end]
    return None


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _stretch(text: str, span: Span, marks: str) -> Span:
    """The clause or sentence around a span, without its closing mark, at most `LONGEST_STRETCH` either way."""
    start = span[0]
    first = max(0, start - LONGEST_STRETCH)
    while start > first and not _ends(text, start - 1, marks):
        start -= 1
    end = span[1]
    last = min(len(text), end + LONGEST_STRETCH)
    while end < last and not _ends(text, end, marks):
        end += 1
    return start, end


def _ends(text: str, index: int, marks: str) -> bool:
    """A mark, or a blank between two Chinese characters: many people write it instead of a comma."""
    char = text[index]
    if char in marks:
        return True
    inside = char == " " and 0 < index < len(text) - 1
    return inside and marks is CLAUSE_MARKS and _is_chinese(text[index - 1]) and _is_chinese(text[index + 1])


def _is_chinese(char: str) -> bool:
    return "\u4e00" <= char <= "\u9fff"
