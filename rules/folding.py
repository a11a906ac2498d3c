"""Character folding: one original character becomes none, one or several normalised ones."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby

import opencc

# Invisible or decorative: format controls (zero-width, bidi), combining and enclosing marks
# (strike-through, keycaps), control characters.
DROPPED_CATEGORIES = frozenset({"Cf", "Cc", "Mn", "Me", "Cs"})
BLANKS = frozenset("\t")
LINE_ENDS = frozenset("\n\r\v\f\x85\u2028\u2029")
FIRST_NON_ASCII = "\x80"
_COMMON_CHINESE = (0x4E00, 0x9FFF)
_PRINTABLE_ASCII = 0x7F - 0x20


@lru_cache(maxsize=1)
def _to_simplified() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def fold_character(char: str) -> str:
    """
    Fold one character: NFKC, case, traditional to simplified; '' when it carries no meaning.

    >>> fold_character("％"), fold_character("證"), fold_character("①")
    ('%', '证', '1')
    """
    if char in BLANKS:
        return " "
    if char in LINE_ENDS:
        return "\n"
    if char < FIRST_NON_ASCII:
        return char.lower() if char.isprintable() else ""
    if unicodedata.category(char) in DROPPED_CATEGORIES:
        return ""
    folded = fold_width(char)
    # A decomposed mark would otherwise survive where its composed form has none.
    folded = "".join(c for c in folded if unicodedata.category(c) not in DROPPED_CATEGORIES)
    simplified = _to_simplified().convert(folded)
    return simplified if len(simplified) == len(folded) else folded


def fold_width(char: str) -> str:
    """NFKC and case alone."""
    return unicodedata.normalize("NFKC", char).casefold()


class Folder:
    """
    Folds texts; what each character becomes is worked out once.

    Almost every character of a chat stands for itself, so only the others are looked
    up: a class of the characters that stay is searched at the speed of C.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._changing: re.Pattern[str] | None = None

    def changes(self, text: str) -> list[tuple[int, str]]:
        """Index and folded form of every character that does not stand for itself, in order."""
        if self._changing is None:
            self._changing = re.compile(f"[^{_unchanged_class()}]")
        found = []
        for match in self._changing.finditer(text):
            char = match.group()
            folded = self._known.get(char)
            if folded is None:
                folded = self._known[char] = fold_character(char)
            if folded != char:
                found.append((match.start(), folded))
        return found


def _unchanged_class() -> str:
    """Common characters that fold to themselves, as the inside of a regular expression's class."""
    candidates = [
        chr(code) for code in (*range(0x20, 0x7F), *range(*_COMMON_CHINESE), *map(ord, "。、“”‘’《》"))
    ]
    # One call for all: a line end between them keeps phrases from forming.
    simplified = _to_simplified().convert("\n".join(candidates[_PRINTABLE_ASCII:])).split("\n")
    same = [char for char in candidates[:_PRINTABLE_ASCII] if fold_character(char) == char]
    same += [
        char
        for char, simple in zip(candidates[_PRINTABLE_ASCII:], simplified, strict=True)
        if char == simple and fold_width(char) == char
    ]
    return "\n" + _as_ranges(same)


def _as_ranges(chars: Iterable[str]) -> str:
    """Characters as the inside of a class; as ranges, since `re` reads a class one item at a time."""
    written = ""
    codes = sorted(map(ord, chars))
    # In a stretch of neighbours, code and place differ by the same.
    for _, stretch in groupby(enumerate(codes), key=lambda pair: pair[1] - pair[0]):
        members = [chr(code) for _, code in stretch]
        written += re.escape(members[0])
        if len(members) > 1:
            written += f"-{re.escape(members[-1])}"
    return written


# One for all: what it works out stays true.
FOLDER = Folder()
