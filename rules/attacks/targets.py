"""What an evader hides: the words in the marked stretches that he knows to be watched."""

import re
from collections.abc import Collection
from random import Random

from rules.attacks.text import Marked, Span

_HAN_RUN = re.compile("[\u4e00-\u9fff]{2,}")
LONGEST_WORD = 5
# Where a stretch has no watched word, so many of its characters are hidden in a row.
OTHERWISE_HIDDEN = 2


def targets(marked: Marked, words: Collection[str], rng: Random, *, anywhere: bool) -> list[Span]:
    """
    One watched word in every marked stretch that has any, in text order.

    With `anywhere`, a stretch without watched words has two characters in a row chosen.
    """
    found: list[Span] = []
    for start, end in sorted(marked.spans):
        if found and start < found[-1][1]:
            continue
        inside = _watched(marked.text, start, end, words)
        if not inside and anywhere:
            inside = _any_run(marked.text, start, end, rng)
        if inside:
            found.append(inside[rng.randrange(len(inside))])
    return found


def _watched(text: str, start: int, end: int, words: Collection[str]) -> list[Span]:
    """The watched words, longest first, none inside another."""
    found: list[Span] = []
    for size in range(LONGEST_WORD, 1, -1):
        for first in range(start, end - size + 1):
            span = (first, first + size)
            if text[first : first + size] in words and all(span[1] <= a or b <= span[0] for a, b in found):
                found.append(span)
    return sorted(found)


def _any_run(text: str, start: int, end: int, rng: Random) -> list[Span]:
    runs = [match.span() for match in _HAN_RUN.finditer(text, start, end)]
    return [
        (first, first + OTHERWISE_HIDDEN)
        for left, right in runs
        for first in [rng.randrange(left, right - OTHERWISE_HIDDEN + 1)]
    ]
