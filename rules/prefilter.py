"""
Which patterns can match a text at all: one pass by Aho–Corasick over the words that each pattern needs.

A pattern needs several words at once ("肯定" and a word for earning and a figure): it is tried only where
all of them stand. RE2's own set matcher builds one automaton of all patterns, whose states grow to gigabytes
with counted gaps; words alone do not. RE2's own filter finds the same words and is forty times slower here.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import ahocorasick

from rules.known_expressions import MOST_EXPRESSIONS
from rules.needed_words import ANY_LENGTH, needs_of

# A rough share of texts that hold a given word of so many characters; it only decides which word is looked for first.
_SHARE_BY_LENGTH = (1.0, 0.05, 0.004, 0.0006)
_COMMON_CHARACTERS = frozenset("的是有能会就都也上到看拿说点对行好个一了不没 ,的")
_SHARE_OF_COMMON = 0.3
# A word list that stands in most texts narrows nothing; looking for it costs.
_TOO_COMMON = 1.0
MOST_GROUPS = 5


class _Entry(NamedTuple):
    """One way in which an expression can match: bits of the word lists that it needs, and where it begins."""

    needs: int
    first: frozenset[str] | None
    longest: int
    number: int


class Prefilter:
    """
    Candidates among numbered expressions: every one that could match is named, others rarely.

    With `slices`, an expression may be searched in any piece of the text, so that
    where the text begins and how long it is says nothing.
    """

    def __init__(self, expressions: Sequence[str], *, slices: bool = False) -> None:
        self._always: list[int] = []
        self._by_first: list[_Entry] = []
        groups: dict[frozenset[str], int] = {}
        anchored: dict[frozenset[str], list[_Entry]] = {}
        for number, expression in enumerate(expressions):
            ways = needs_of(expression)
            if ways is None:
                self._always.append(number)
            for way in ways or ():
                kept = most_telling(way.groups)
                needs = sum(1 << groups.setdefault(words, len(groups)) for words in kept)
                entry = _Entry(
                    needs, None if slices else way.first, ANY_LENGTH if slices else way.longest, number
                )
                if kept:
                    anchored.setdefault(kept[0], []).append(entry)
                elif entry.first is not None:
                    self._by_first.append(entry)
                elif number not in self._always:
                    self._always.append(number)
        self._automaton = _automaton(groups, anchored)

    def candidates(self, text: str) -> list[int]:
        """Numbers of the expressions worth trying on a text, in order."""
        numbers = set(self._always)
        if not text:
            return sorted(numbers)
        found = 0
        pending = self._by_first[:]
        if self._automaton is not None:
            for _, (bits, entries) in self._automaton.iter(text):
                found |= bits
                if entries:
                    pending += entries
        start, length = text[0], len(text)
        for needs, first, longest, number in pending:
            if needs & found == needs and length <= longest and (first is None or start in first):
                numbers.add(number)
        return sorted(numbers)


@lru_cache(maxsize=MOST_EXPRESSIONS)
def most_telling(groups: frozenset[frozenset[str]]) -> tuple[frozenset[str], ...]:
    """The rarest word lists first, without those that stand in most texts."""
    ranked = sorted((_share(words), sorted(words), words) for words in groups)[:MOST_GROUPS]
    return tuple(words for index, (share, _, words) in enumerate(ranked) if not index or share < _TOO_COMMON)


def _automaton(
    groups: Mapping[frozenset[str], int], anchored: Mapping[frozenset[str], Sequence[_Entry]]
) -> Any:
    """Gives, for each word in a text, the bits of its lists and the entries that are looked at for it."""
    bits: dict[str, int] = {}
    entries: dict[str, list[_Entry]] = {}
    for words, group in groups.items():
        bit, looked_at = 1 << group, anchored.get(words, ())
        for word in words:
            bits[word] = bits.get(word, 0) | bit
            entries.setdefault(word, []).extend(looked_at)
    if not bits:
        return None
    automaton = ahocorasick.Automaton()
    for word, mask in bits.items():
        automaton.add_word(word, (mask, tuple(entries[word])))
    automaton.make_automaton()
    return automaton


def _share(words: Iterable[str]) -> float:
    """About how many texts of a hundred percent hold one of the words."""
    total = 0.0
    for word in words:
        if len(word) == 1 and word in _COMMON_CHARACTERS:
            total += _SHARE_OF_COMMON
        else:
            total += _SHARE_BY_LENGTH[min(len(word), len(_SHARE_BY_LENGTH) - 1)]
    return total
