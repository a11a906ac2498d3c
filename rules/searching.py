"""Searches in one text: linear-time expressions over its bytes, each made once."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rules.expressions import compiled
from rules.model import HIT_GROUP, Matchers
from rules.token_patterns import TokenMatcher

Span = tuple[int, int]

# How many compiled expressions a process keeps; a few packs' worth.
COMPILED_EXPRESSIONS = 20_000
# From so many characters on, making an expression anew with room costs less than searching without.
LONG_TEXT = 1_500


class _Compiled(NamedTuple):
    """An expression ready to search, and the number of the group that holds its hit."""

    finditer: Callable[[bytes], Any]
    group: int


Compiler = Callable[[str], _Compiled]


@lru_cache(maxsize=COMPILED_EXPRESSIONS)
def _compiled(expression: str) -> _Compiled:
    return _ready(compiled(expression))


def _ready(pattern: Any) -> _Compiled:
    return _Compiled(pattern.finditer, pattern.groupindex.get(HIT_GROUP, 0))


class _ForOneText(dict[str, _Compiled]):
    """Expressions with room for a long text, gone with it: of all texts together they would need gigabytes."""

    def __missing__(self, expression: str) -> _Compiled:
        found = self[expression] = _ready(compiled(expression, roomy=True))
        return found


def compiler(text: str) -> Compiler:
    """What makes expressions ready for searches in this text and its readings."""
    return _compiled if len(text) <= LONG_TEXT else _ForOneText().__getitem__


def spans_of(expression: str, text: str, encoded: bytes, compile_: Compiler = _compiled) -> list[Span]:
    """
    Every non-empty match of an expression, as code-point offsets.

    `encoded` is the text in UTF-8: encoding it once is most of the cost of a search.
    """
    finditer, group = compile_(expression)
    found = []
    for match in finditer(encoded):
        start, end = match.span(group)
        if end > start:
            if len(encoded) == len(text):
                found.append((start, end))
            else:
                first = len(encoded[:start].decode())
                found.append((first, first + len(encoded[start:end].decode())))
    return found


class Subject:
    """
    A text that is searched many times.

    `possible` names the expressions that could match in it at all, or is None where
    nobody looked; the others are answered without a search. Several readings of one text
    share its `compile_`.
    """

    def __init__(
        self,
        text: str,
        tokens: TokenMatcher,
        possible: Callable[[str], Collection[str]] | None = None,
        compile_: Compiler | None = None,
    ) -> None:
        self.text = text
        self.encoded = text.encode()
        self._tokens = tokens
        self._compiled = compile_ or compiler(text)
        self._look = possible
        self._possible: Collection[str] | None = None
        self._found: dict[tuple[str, int, int], list[Span]] = {}
        self._marks: dict[re.Pattern[str], list[int]] = {}
        self._items: dict[int, list[Span]] = {}

    def marks(self, ends: re.Pattern[str]) -> list[int]:
        """Where the marks that end a stretch stand, in order."""
        known = self._marks.get(ends)
        if known is None:
            known = self._marks[ends] = [match.start() for match in ends.finditer(self.text)]
        return known

    def everywhere(self, expression: str) -> list[Span]:
        """Matches in the whole text."""
        return spans_of(expression, self.text, self.encoded, self._compiled)

    def all_of(self, matchers: Matchers) -> list[Span]:
        """Every match of an item list in the whole text."""
        known = self._items.get(id(matchers))
        if known is None:
            known = []
            for expression in matchers.expressions:
                if self.may_match(expression):
                    known += self.everywhere(expression)
            for pattern in matchers.tokens:
                known += self._tokens.spans(pattern, self.text)
            self._items[id(matchers)] = known
        return known

    def inside(self, expression: str | None, bounds: Span) -> Sequence[Span]:
        """Matches within `bounds`, as offsets into the whole text."""
        if expression is None or not self.may_match(expression):
            return ()
        key = (expression, *bounds)
        found = self._found.get(key)
        if found is None:
            offset, stop = bounds
            piece = self.text[offset:stop]
            found = [
                (start + offset, end + offset)
                for start, end in spans_of(expression, piece, piece.encode(), self._compiled)
            ]
            self._found[key] = found
        return found

    def may_match(self, expression: str | None) -> bool:
        """False where the expression cannot match anywhere in the text."""
        if expression is None:
            return False
        if self._look is None:
            return True
        if self._possible is None:
            self._possible = self._look(self.text)
        return expression in self._possible
