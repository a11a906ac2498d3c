"""What a text must hold for an expression to match it: words, its first character, its length."""

import re
import re._constants as kinds  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rules.known_expressions import KNOWN, MOST_EXPRESSIONS

# How many words a pattern may be written out to; more would cost more than they save.
MOST_PRODUCTS = 64
MOST_CLASS_MEMBERS = 24
MOST_WAYS = 64
ANY_LENGTH = sys.maxsize
_DIGITS = frozenset("0123456789")
_BLANKS = frozenset(" \t\n\r\f\v")

# Flags and classes that RE2 reads otherwise than Python's parser.
_NOT_PYTHON = re.compile(r"\(\?[a-zA-Z-]+[:)]|\[\[:|\\[pPQzC]")

Words = set[str]
Item = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Needs:
    """
    What one way of matching needs.

    Of every word list in `groups` one word must stand in the text. With `first`, the
    text must begin with one of these characters. It must not be longer than `longest`.
    """

    groups: frozenset[frozenset[str]]
    first: frozenset[str] | None = None
    longest: int = ANY_LENGTH


@dataclass(frozen=True, slots=True)
class _Analysis:
    """What one look at an expression tells: the answers of `needs_of` and `written_words`."""

    needs: tuple[Needs, ...] | None
    written: frozenset[str]

    def as_json(self) -> dict[str, Any]:
        """In values that JSON knows."""
        ways = (
            None
            if self.needs is None
            else [
                [
                    [list(words) for words in way.groups],
                    None if way.first is None else list(way.first),
                    way.longest,
                ]
                for way in self.needs
            ]
        )
        return {"needs": ways, "written": list(self.written)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "_Analysis":
        """What `as_json` wrote."""
        ways = content["needs"]
        needs = (
            None
            if ways is None
            else tuple(
                Needs(frozenset(map(frozenset, groups)), None if first is None else frozenset(first), longest)
                for groups, first, longest in ways
            )
        )
        return cls(needs, frozenset(content["written"]))


def needs_of(expression: str) -> tuple[Needs, ...] | None:
    """
    The ways in which an expression can match; None when nothing is known of one of them.

    >>> [sorted(map(sorted, way.groups)) for way in needs_of("(?:亏了|赔了)[^,]{0,4}公司?补|保本")]
    [[['亏了', '赔了'], ['公补', '公司补']], [['保本']]]
    """
    return _analysis(expression).needs


def written_words(expression: str) -> frozenset[str]:
    """
    Every run of characters that stands in an expression as its author wrote it, and the words that it needs.

    >>> sorted(written_words("(?:不会|不可能)亏(?:钱)?[^,]{0,4}放心"))
    ['不会', '不会亏', '不会亏钱', '不可能', '不可能亏', '不可能亏钱', '亏', '放心', '钱']
    """
    return _analysis(expression).written


@lru_cache(maxsize=MOST_EXPRESSIONS)
def _analysis(expression: str) -> _Analysis:
    return _Analysis.from_json(KNOWN.analysis(expression, lambda text: _analysed(text).as_json()))


def _analysed(expression: str) -> _Analysis:
    """Parsing is the cost, so that one parse answers both questions."""
    parsed = _parsed(expression)
    if parsed is None:
        return _Analysis(None, frozenset())
    items: list[Item] = parsed.data
    needs = _needs(items)
    return _Analysis(needs, _written(items, needs))


def _needs(items: list[Item]) -> tuple[Needs, ...] | None:
    ways: list[Needs] = []
    for branch in _ways(items, MOST_WAYS):
        groups = frozenset(_shortest(words) for words in _groups(branch))
        first, longest = _at_the_start(branch)
        if not groups and first is None:
            return None
        ways.append(Needs(groups, first, longest))
    return tuple(ways)


def _written(items: list[Item], needs: tuple[Needs, ...] | None) -> frozenset[str]:
    found: Words = set()
    _collect(items, found)
    for way in needs or ():
        for words in way.groups:
            if min(map(len, words)) > 1:
                found |= words
    return frozenset(word for word in found if word)


def _parsed(expression: str) -> Any:
    if _NOT_PYTHON.search(expression):
        return None
    try:
        return parser.parse(expression)
    except (parser.error, RecursionError, OverflowError):
        return None  # RE2 takes it and Python's parser does not: always try it


def _ways(items: list[Item], most: int) -> list[list[Item]]:
    """The alternatives of a whole expression, taken apart; a branch with things around it stays one part."""
    if len(items) == 1 and most > 1:
        kind, value = items[0]
        if kind is kinds.SUBPATTERN:
            return _ways(value[3].data, most)
        if kind is kinds.BRANCH and len(value[1]) <= most:
            share = most // len(value[1])
            return [way for branch in value[1] for way in _ways(branch.data, share)]
    return [items]


def _at_the_start(items: Sequence[Item]) -> tuple[frozenset[str] | None, int]:
    if not items or items[0] != (kinds.AT, kinds.AT_BEGINNING):
        return None, ANY_LENGTH
    first = _first_characters(items[1:])
    longest = ANY_LENGTH
    if items[-1] == (kinds.AT, kinds.AT_END):
        width = sum(_width(kind, value) for kind, value in items)
        longest = width if width < ANY_LENGTH else ANY_LENGTH
    return (frozenset(first) if first else None), longest


def _width(kind: Any, value: Any) -> int:
    """Most characters that a part can take."""
    if kind is kinds.AT:
        return 0
    if kind is kinds.SUBPATTERN:
        return _clipped(sum(_width(*item) for item in value[3].data))
    if kind is kinds.BRANCH:
        return max(_clipped(sum(_width(*item) for item in branch.data)) for branch in value[1])
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        most, body = value[1], value[2]
        inner = _clipped(sum(_width(*item) for item in body.data))
        return ANY_LENGTH if most is kinds.MAXREPEAT else _clipped(inner * int(most))
    return 1 if kind in (kinds.LITERAL, kinds.NOT_LITERAL, kinds.IN, kinds.ANY) else ANY_LENGTH


def _clipped(width: int) -> int:
    return min(width, ANY_LENGTH)


def _first_characters(items: Sequence[Item]) -> Words | None:
    """Characters of which one begins every match; None when it could be any, or nothing."""
    found: Words = set()
    for kind, value in items:
        if kind is kinds.AT:
            return None
        characters, may_be_empty = _first_of(kind, value)
        if characters is None:
            return None
        found |= characters
        if not may_be_empty:
            return found
    return None


def _first_of(kind: Any, value: Any) -> tuple[Words | None, bool]:
    if kind is kinds.SUBPATTERN:
        return _first_of_sequence(value[3].data)
    if kind is kinds.BRANCH:
        parts = [_first_of_sequence(branch.data) for branch in value[1]]
        if any(characters is None for characters, _ in parts):
            return None, True
        return set().union(*(characters or () for characters, _ in parts)), any(empty for _, empty in parts)
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        characters, empty = _first_of_sequence(value[2].data)
        return characters, empty or not value[0]
    if kind is kinds.IN:
        return _class_members(value), False
    return ({chr(value)}, False) if kind is kinds.LITERAL else (None, True)


def _first_of_sequence(items: Sequence[Item]) -> tuple[Words | None, bool]:
    found: Words = set()
    for kind, value in items:
        characters, may_be_empty = _first_of(kind, value)
        if characters is None:
            return None, True
        found |= characters
        if not may_be_empty:
            return found, False
    return found, True


def _groups(items: Sequence[Item]) -> Iterator[Words]:
    """Word lists of which the sequence needs one word each. Neighbouring parts join into longer words."""
    run: Words = {""}
    tail = ""
    for kind, value in items:
        if kind is kinds.LITERAL and len(run) <= MOST_PRODUCTS:
            tail += chr(value)
            continue
        run, tail = _with_tail(run, tail), ""
        written = _written_out(kind, value)
        if written is not None and len(run) * len(written) <= MOST_PRODUCTS:
            run = {left + right for left in run for right in written}
            continue
        if "" not in run:
            yield run
        if written is not None:
            run = written
            continue
        run = {""}
        yield from _groups_of_item(kind, value)
    run = _with_tail(run, tail)
    if "" not in run:
        yield run


def _with_tail(texts: Words, tail: str) -> Words:
    """A run of plain characters is put behind the texts at once."""
    return {text + tail for text in texts} if tail else texts


def _groups_of_item(kind: Any, value: Any) -> Iterator[Words]:
    if kind is kinds.SUBPATTERN:
        yield from _groups(value[3].data)
    elif kind is kinds.BRANCH:
        parts = [_best(_groups(branch.data)) for branch in value[1]]
        if all(parts):
            yield set().union(*(part or () for part in parts))
    elif kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT) and value[0]:
        yield from _groups(value[2].data)


def _best(groups: Iterator[Words]) -> Words | None:
    """Longer words first, then fewer of them: both mean fewer texts to look at."""
    return max(groups, key=lambda words: (min(map(len, words)), -len(words)), default=None)


def _written_out(kind: Any, value: Any) -> Words | None:
    """Every text that a part matches, where these are few; None where they are not."""
    if kind is kinds.LITERAL:
        return {chr(value)}
    if kind is kinds.IN:
        return _class_members(value)
    if kind is kinds.SUBPATTERN:
        return _written_sequence(value[3].data)
    if kind is kinds.BRANCH:
        parts = [_written_sequence(branch.data) for branch in value[1]]
        return None if None in parts else _few(set().union(*parts))  # type: ignore[arg-type]
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        least, most, body = value
        inner = _written_sequence(body.data) if most == 1 else None
        return None if inner is None else inner | ({""} if least == 0 else set())
    return None


def _class_members(value: Sequence[Item]) -> Words | None:
    members: Words = set()
    for kind, inner in value:
        if kind is kinds.LITERAL:
            members.add(chr(inner))
        elif kind is kinds.CATEGORY and inner is kinds.CATEGORY_DIGIT:
            members |= _DIGITS
        elif kind is kinds.CATEGORY and inner is kinds.CATEGORY_SPACE:
            members |= _BLANKS
        elif kind is kinds.RANGE and inner[1] - inner[0] < MOST_CLASS_MEMBERS:
            members |= {chr(code) for code in range(inner[0], inner[1] + 1)}
        else:
            return None
    return members if len(members) <= MOST_CLASS_MEMBERS else None


def _written_sequence(items: Sequence[Item]) -> Words | None:
    texts: Words = {""}
    tail = ""
    for kind, value in items:
        if kind is kinds.LITERAL:
            tail += chr(value)
            continue
        written = _written_out(kind, value)
        if written is None or len(texts) * len(written) > MOST_PRODUCTS:
            return None
        texts = {left + tail + right for left in texts for right in written}
        tail = ""
    return _with_tail(texts, tail)


def _few(words: Words) -> Words | None:
    return words if len(words) <= MOST_PRODUCTS else None


def _shortest(words: Words) -> frozenset[str]:
    """Without words that contain another one."""
    lengths = {len(word) for word in words}
    if len(lengths) == 1:
        return frozenset(words)
    return frozenset(
        word
        for word in words
        if not any(
            word[start : start + length] in words
            for length in lengths
            if length < len(word)
            for start in range(len(word) - length + 1)
        )
    )


def _collect(items: Sequence[Item], found: Words) -> None:
    run = ""
    for kind, value in items:
        if kind is kinds.LITERAL:
            run += chr(value)
            continue
        found.add(run)
        # The parser takes out what all alternatives begin with: 不会|不可能 is 不 and then 会|可能.
        before = [(kinds.LITERAL, ord(char)) for char in run]
        run = ""
        if kind is kinds.BRANCH:
            for inner in _bodies(kind, value):
                _collect([*before, *inner], found)
        elif kind is kinds.IN:
            start = "".join(chr(code) for _, code in before)
            found.update(start + char for char in _class_members(value) or ())
        else:
            for inner in _bodies(kind, value):
                _collect(inner, found)
    found.add(run)


def _bodies(kind: Any, value: Any) -> Iterator[list[Item]]:
    if kind is kinds.SUBPATTERN:
        yield value[3].data
    elif kind is kinds.BRANCH:
        yield from (branch.data for branch in value[1])
    elif kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        yield value[2].data
