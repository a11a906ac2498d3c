"""Words that people ordinarily write: where one stands, the characters mean what they say."""

from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

LONGEST_WORD = 4
# How often the dictionary's corpus must have the word; rarer entries are names and chance.
LEAST_COUNT = 20
EVERYDAY_CHARACTERS = 2500


@cache
def common_words() -> dict[str, int]:
    """
    Words of two to four characters with their count, from jieba's dictionary (MIT).

    Only its data file is read: the segmenter itself would take seconds to load.
    """
    spec = find_spec("jieba")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("jieba is missing: its dictionary tells common words", name="jieba")
    words: dict[str, int] = {}
    path = Path(next(iter(spec.submodule_search_locations))) / "dict.txt"
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, count, _ = line.split(" ", 2)
            if 2 <= len(word) <= LONGEST_WORD and int(count) >= LEAST_COUNT:
                words[word] = int(count)
    return words


@cache
def everyday_characters() -> frozenset[str]:
    """The characters that most text is written with."""
    counts: Counter[str] = Counter()
    for word, count in common_words().items():
        for char in word:
            counts[char] += count
    return frozenset(char for char, _ in counts.most_common(EVERYDAY_CHARACTERS))


def touching(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spans of common words that share a character with `[start, end)`."""
    words = common_words()
    return [
        (first, last)
        for first in range(max(0, start - LONGEST_WORD + 1), end)
        for last in range(max(first + 2, start + 1), min(len(text), first + LONGEST_WORD) + 1)
        if text[first:last] in words
    ]
