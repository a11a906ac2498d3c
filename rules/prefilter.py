"""
Which patterns can match a text at all: one pass by Aho–Corasick over the words that each pattern needs.

RE2's own set matcher builds one automaton of all patterns, whose states grow to gigabytes with counted
gaps; words alone do not.
"""

import re
import re._constants as kinds  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Sequence
from typing import Any

import ahocorasick

# How many words a pattern may be written out to; more would cost more than they save.
MOST_PRODUCTS = 512
MOST_CLASS_MEMBERS = 24

# Flags and classes that RE2 reads otherwise than Python's parser.
_NOT_PYTHON = re.compile(r"\(\?[a-zA-Z-]+[:)]|\[\[:|\\[pPQzC]")

Words = set[str]
Item = tuple[Any, Any]


def needed_words(expression: str) -> frozenset[str] | None:
    """
    Words of which at least one stands in every text that the expression matches; None when there are none.

    >>> sorted(needed_words("(?:亏了|赔了)[^,]{0,4}公司?补"))
    ['亏了', '赔了']
    """
    if _NOT_PYTHON.search(expression):
        return None
    try:
        parsed = parser.parse(expression)
    except (parser.error, RecursionError, OverflowError):
        return None  # RE2 takes it and Python's parser does not: always try it
    words = _of_sequence(list(parsed))
    return _shortest(words) if words else None


def _of_sequence(items: Sequence[Item]) -> Words | None:
    """The best of what the parts need. Neighbouring parts that can be written out join into longer words."""
    best: Words | None = None
    run: Words = {""}
    for kind, value in items:
        written = _written_out(kind, value)
        if written is not None and len(run) * len(written) <= MOST_PRODUCTS:
            run = {left + right for left in run for right in written}
            continue
        best = _better(_better(best, run), _of_item(kind, value))
        run = written if written is not None else {""}
    return _better(best, run)


def _of_item(kind: Any, value: Any) -> Words | None:
    if kind is kinds.SUBPATTERN:
        return _of_sequence(list(value[3]))
    if kind is kinds.BRANCH:
        parts = [_of_sequence(list(branch)) for branch in value[1]]
        return None if None in parts else set().union(*parts)  # type: ignore[arg-type]
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        least, _, body = value
        return _of_sequence(list(body)) if least else None
    return _written_out(kind, value)


def _written_out(kind: Any, value: Any) -> Words | None:
    """Every text that a part matches, where these are few; None where they are not."""
    if kind is kinds.LITERAL:
        return {chr(value)}
    if kind is kinds.IN:
        plain = len(value) <= MOST_CLASS_MEMBERS and all(inner is kinds.LITERAL for inner, _ in value)
        return {chr(code) for _, code in value} if plain else None
    if kind is kinds.SUBPATTERN:
        return _written_sequence(list(value[3]))
    if kind is kinds.BRANCH:
        parts = [_written_sequence(list(branch)) for branch in value[1]]
        return None if None in parts else _few(set().union(*parts))  # type: ignore[arg-type]
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        least, most, body = value
        inner = _written_sequence(list(body)) if most == 1 else None
        return None if inner is None else inner | ({""} if least == 0 else set())
    return None


def _written_sequence(items: Sequence[Item]) -> Words | None:
    texts: Words = {""}
    for kind, value in items:
        written = _written_out(kind, value)
        if written is None or len(texts) * len(written) > MOST_PRODUCTS:
            return None
        texts = {left + right for left in texts for right in written}
    return texts


def _few(words: Words) -> Words | None:
    return words if len(words) <= MOST_PRODUCTS else None


def _better(one: Words | None, other: Words | None) -> Words | None:
    """Longer words first, then fewer of them: both mean fewer texts to look at."""
    usable = [words for words in (one, other) if words and "" not in words]
    return max(usable, key=lambda words: (min(map(len, words)), -len(words)), default=None)


def _shortest(words: Words) -> frozenset[str]:
    """Without words that contain another one."""
    kept: list[str] = []
    for word in sorted(words, key=len):
        if not any(short in word for short in kept):
            kept.append(word)
    return frozenset(kept)


class Prefilter:
    """Candidates among numbered expressions: every one that could match is named, others rarely."""

    def __init__(self, expressions: Sequence[str]) -> None:
        owners: dict[str, list[int]] = {}
        self._always: list[int] = []
        for number, expression in enumerate(expressions):
            words = needed_words(expression)
            if words is None:
                self._always.append(number)
            for word in words or ():
                owners.setdefault(word, []).append(number)
        self._automaton = ahocorasick.Automaton()
        for word, numbers in owners.items():
            self._automaton.add_word(word, tuple(numbers))
        if owners:
            self._automaton.make_automaton()
        self._empty = not owners

    @property
    def unfiltered(self) -> int:
        """How many expressions need no particular word and are tried on every text."""
        return len(self._always)

    def candidates(self, text: str) -> list[int]:
        """Numbers of the expressions worth trying on a text, in order."""
        found = set(self._always)
        if not self._empty:
            for _, numbers in self._automaton.iter(text):
                found.update(numbers)
        return sorted(found)
