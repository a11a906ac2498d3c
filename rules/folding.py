"""Character folding: one original character becomes none, one or several normalised ones."""

import unicodedata
from functools import lru_cache

import opencc

# Invisible or decorative: format controls (zero-width, bidi), combining and enclosing marks
# (strike-through, keycaps), control characters.
DROPPED_CATEGORIES = frozenset({"Cf", "Cc", "Mn", "Me", "Cs"})
BLANKS = frozenset("\t")
LINE_ENDS = frozenset("\n\r\v\f\x85\u2028\u2029")
FIRST_NON_ASCII = "\x80"


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
    folded = unicodedata.normalize("NFKC", char).casefold()
    # A decomposed mark would otherwise survive where its composed form has none.
    folded = "".join(c for c in folded if unicodedata.category(c) not in DROPPED_CATEGORIES)
    simplified = _to_simplified().convert(folded)
    return simplified if len(simplified) == len(folded) else folded


class FoldTable(dict[int, str]):
    """
    A `str.translate` table that fills itself.

    `uneven` holds the characters whose folding is not exactly one character:
    a text without them keeps its offsets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uneven: set[str] = set()

    def __missing__(self, code: int) -> str:
        char = chr(code)
        folded = fold_character(char)
        if len(folded) != 1:
            self.uneven.add(char)
        self[code] = folded
        return folded
