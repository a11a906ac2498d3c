"""Normalisation with an offset map: rules and model read one plain form, evidence points into the original."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rules.folding import FOLDER
from rules.numerals import find_figures

CACHED_TEXTS = 8192
# Longer texts are rare and their offsets large: a cache of them would hold gigabytes.
LONGEST_CACHED = 400

_CJK = "[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"
# Marks that a Chinese sentence does not carry between two characters; whoever writes them hides a word.
_MARKS = re.compile(rf"(?<={_CJK})[*·•・.\-_^|/\\+#`'\"°¤×=&@$]{{1,3}}(?={_CJK})")
_MAY_HOLD_GAPS = re.compile(r"[ *·•・.\-_^|/\\+#`'\"°¤×=&@$]")
# A blank hides a word only where it cuts off a single character (保 本); between phrases it is punctuation.
_BLANKS = re.compile(rf"(?<=(?<!{_CJK}){_CJK}) +(?={_CJK})|(?<={_CJK}) +(?={_CJK}(?!{_CJK}))")
# Every figure has one of these; looking for them first spares most texts the long expression.
_MAY_HOLD_FIGURES = re.compile("[%厘倍]|百分|个点")


@dataclass(frozen=True, slots=True)
class NormalisedText:
    """
    A text in plain form with the way back.

    `starts[i]` and `ends[i]` are the code-point offsets in `original` of what
    normalised character `i` came from. Both never decrease. Marks that were
    dropped belong to the character before them, so a highlight never cuts a
    keycap or a struck-through letter in two.
    """

    original: str
    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """
        Offsets in the original of normalised `[start, end)`.

        Raises ValueError for an empty or outlying span.
        """
        if not 0 <= start < end <= len(self.text):
            msg = f"span {start}:{end} does not fit a text of {len(self.text)} characters"
            raise ValueError(msg)
        return self.starts[start], self.ends[end - 1]


def normalise(text: str) -> NormalisedText:
    """
    Fold width, case and script, drop what is invisible or inserted, write figures one way.

    >>> normalise("保*證８個點").text
    '保证8%'
    """
    return _remembered(text) if len(text) <= LONGEST_CACHED else _normalise(text)


def _normalise(text: str) -> NormalisedText:
    return _rewrite_figures(_close_gaps(_fold(text)))


_remembered = lru_cache(maxsize=CACHED_TEXTS)(_normalise)


def _fold(text: str) -> NormalisedText:
    changes = FOLDER.changes(text)
    if not changes:
        return NormalisedText(text, text, range(len(text)), range(1, len(text) + 1))
    if all(len(folded) == 1 for _, folded in changes):
        chars = list(text)
        for index, folded in changes:
            chars[index] = folded
        return NormalisedText(text, "".join(chars), range(len(text)), range(1, len(text) + 1))
    return _fold_unevenly(text, dict(changes))


def _fold_unevenly(text: str, changes: Mapping[int, str]) -> NormalisedText:
    chars: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for index, char in enumerate(text):
        piece = changes.get(index, char)
        if not piece and ends:
            ends[-1] = index + 1
        for part in piece:
            chars.append(part)
            starts.append(index)
            ends.append(index + 1)
    return NormalisedText(text, "".join(chars), starts, _never_decreasing(ends))


def _never_decreasing(ends: list[int]) -> list[int]:
    """One character that folded to several shares the marks that follow it."""
    for index in range(len(ends) - 2, -1, -1):
        ends[index] = min(ends[index], ends[index + 1])
    return ends


def _close_gaps(text: NormalisedText) -> NormalisedText:
    if not _MAY_HOLD_GAPS.search(text.text):
        return text
    gaps = [match.span() for pattern in (_MARKS, _BLANKS) for match in pattern.finditer(text.text)]
    return replaced(text, [(start, end, "") for start, end in sorted(gaps)]) if gaps else text


def _rewrite_figures(text: NormalisedText) -> NormalisedText:
    if not _MAY_HOLD_FIGURES.search(text.text):
        return text
    edits = [
        (figure.start, figure.end, figure.canonical)
        for figure in find_figures(text.text)
        if text.text[figure.start : figure.end] != figure.canonical
    ]
    return replaced(text, edits) if edits else text


def replaced(text: NormalisedText, edits: list[tuple[int, int, str]]) -> NormalisedText:
    """Apply ordered, non-overlapping edits; each new character stands for the whole replaced span."""
    chars: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for start, end, replacement in edits:
        chars.append(text.text[position:start])
        starts.extend(text.starts[position:start])
        ends.extend(text.ends[position:start])
        if replacement:
            left, right = text.original_span(start, end)
            chars.append(replacement)
            starts.extend([left] * len(replacement))
            ends.extend([right] * len(replacement))
        position = end
    chars.append(text.text[position:])
    starts.extend(text.starts[position:])
    ends.extend(text.ends[position:])
    return NormalisedText(text.original, "".join(chars), starts, ends)
