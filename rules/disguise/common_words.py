"""Words that people ordinarily write: where one stands, the characters mean what they say."""

import re
from collections import defaultdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path

LONGEST_WORD = 4
# How often the dictionary's corpus must have the word; rarer entries are names and chance.
LEAST_COUNT = 20
EVERYDAY_CHARACTERS = 2500
# A line of the dictionary, `word count kind`, of a word that may be long and frequent enough.
_ENTRY = re.compile(rf"^([^ \n]{{2,{LONGEST_WORD}}}) (\d{{{len(str(LEAST_COUNT))},}}) ", re.MULTILINE)


@cache
def common_words() -> dict[str, int]:
    """
    Words of two to four characters with their count, from jieba's dictionary (MIT).

    Only its data file is read: the segmenter itself would take seconds to load.
    """
    spec = find_spec("jieba")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("jieba is missing: its dictionary tells common words", name="jieba")
    path = Path(next(iter(spec.submodule_search_locations))) / "dict.txt"
    entries = _ENTRY.findall(path.read_text("utf-8"))
    return {word: number for word, count in entries if (number := int(count)) >= LEAST_COUNT}


@cache
def everyday_characters() -> frozenset[str]:
    """The characters that most text is written with."""
    counts: defaultdict[str, int] = defaultdict(int)
    for word, count in common_words().items():
        for char in word:
            counts[char] += count
    return frozenset(sorted(counts, key=counts.__getitem__, reverse=True)[:EVERYDAY_CHARACTERS])


def touching(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spans of common words that share a character with `[start, end)`."""
    words = common_words()
    return [
        (first, last)
        for first in range(max(0, start - LONGEST_WORD + 1), end)
        for last in range(max(first + 2, start + 1), min(len(text), first + LONGEST_WORD) + 1)
        if text[first:last] in words
    ]
