"""The odd places of a text: what nobody writes who hides nothing."""

import re
from collections.abc import Iterator, Sequence
from operator import eq

from rules.disguise.common_words import common_words, everyday_characters
from rules.disguise.reading import SEAM
from rules.disguise.shapes import DEAD_VARIANTS, LOOKALIKES, ORNAMENT, PICTURES, RADICALS, SPLITS
from rules.disguise.sounds import HEADS, NOT_A_SOUND, SOUNDS
from rules.disguise.vocabulary import Vocabulary

# Start, end, kind and what may be read there instead.
Spot = tuple[int, int, str, tuple[str, ...]]

_HAN = "\u4e00-\u9fff"

# Letters that stand in Chinese text every day and abbreviate no promise.
_EVERYDAY = """
app vip etf fof qdii reits lof ipo pe pb roe gdp cpi ppi lpr ai ok hi no yes id it tv pc cd dvd kfc usb wifi
gps atm pos bb mm gg dd jj zz hh xx aa ab qq hr ceo cfo ppt pdf word excel pm am km kg cm mm ml usd cny rmb hk us uk nba ktv mba sh sz bj
sb nb tmd lol wtf yyds xswl ps
td st bt url name
"""
EVERYDAY_LETTERS = frozenset(_EVERYDAY.split())

_LETTERS = re.compile("[a-z]+(?: [a-z]+)*")
# Several blanks or tildes between two characters; commas and full stops end clauses and stay.
_GAPS = re.compile(f"(?<=[{_HAN}])[ ~]+(?=[{_HAN}])")
_DOUBLED = re.compile(f"(?:([{_HAN}])\\1){{2,}}|([{_HAN}])\\2{{2,}}")
_ORNAMENTS = re.compile(f"(?:{ORNAMENT.pattern}[\ufe0f\u200d]*)+")
_DEAD = re.compile("[" + "".join(DEAD_VARIANTS) + "]")
# Digits and the marks of ordinary sentences.
_USUAL_MARKS = re.escape("0123456789,。!?;:、.%()[]“”‘’《》<>「」【】'\"-/+*=&@#|_—…\n")
_GRADES = frozenset("abcdertkpvqw")
_NUMBERS = frozenset("0123456789+-")


class SpotFinder:
    """Finds odd places by what they look like; those where nothing of the vocabulary could stand are left out."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = vocabulary
        plain = everyday_characters().union(*vocabulary.words)
        everyday = "".join(sorted(plain))
        usual = "".join(sorted(plain.difference(RADICALS, DEAD_VARIANTS)))
        # One class finds letters, blanks, pictures, radicals and rare characters at the speed of C.
        self._odd = re.compile(f"[^{usual}{_USUAL_MARKS}]")
        self._rare = re.compile(f"[^{everyday}\x00-\u4dff\ua000-\U0010ffff]")

    def find(self, plain: str, pairs: Sequence[str]) -> list[Spot]:
        """Every odd place of a text, in order; none in almost every text. `pairs` are its neighbouring characters."""
        if (
            self._words.odd_pairs.keys().isdisjoint(pairs)
            and not self._odd.search(plain)
            and not (any(map(eq, plain, plain[1:])) and _DOUBLED.search(plain))
        ):
            return []
        first: dict[tuple[int, int], Spot] = {}
        for spot in self._spots(plain, pairs):
            first.setdefault((spot[0], spot[1]), spot)
        return sorted(first.values())

    def _spots(self, plain: str, pairs: Sequence[str]) -> Iterator[Spot]:
        for match in _LETTERS.finditer(plain):
            if match.group() not in EVERYDAY_LETTERS and not _is_grade(plain, match.start(), match.end()):
                yield match.start(), match.end(), "letters", (match.group(),)
        for match in _ORNAMENTS.finditer(plain):
            meant = PICTURES.get(match.group().rstrip("\ufe0f"), ())
            if meant:
                yield match.start(), match.end(), "picture", meant
            if _is_between_characters(plain, match.start(), match.end()):
                yield match.start(), match.end() + 1, SEAM, (plain[match.end()],)
        for match in _GAPS.finditer(plain):
            start, end = match.span()
            across = plain[start - 1] + plain[end]
            if across in self._words.plain_pairs and self._words.word_pairs.isdisjoint(
                (plain[max(0, start - 2) : start], plain[end : end + 2])
            ):
                yield start, end, "gap", ("",)
        for match in _DEAD.finditer(plain):
            yield match.start(), match.end(), "dead", (DEAD_VARIANTS[match.group()],)
        for match in _DOUBLED.finditer(plain):
            if match.group() not in common_words():
                for start, end, _, options in _repeats(plain, match.start(), match.end()):
                    yield start, end, "doubled", options
        for match in self._rare.finditer(plain):
            at, char = match.start(), match.group()
            if (
                char not in DEAD_VARIANTS
                and plain[at : at + 2] not in SPLITS
                and self._may_be_in_word(plain, at)
            ):
                yield at, at + 1, "rare", (char, *sorted(LOOKALIKES.get(char, ())))
        for index, pair in enumerate(pairs):
            if pair in SPLITS and not RADICALS.isdisjoint(pair):
                yield index, index + 2, "radical", (SPLITS[pair],)
            elif pair not in self._words.odd_pairs:
                continue
            elif pair in SPLITS:
                yield index, index + 2, "split", (SPLITS[pair],)
            elif pair[0] == pair[1]:
                if not index or plain[index - 1] != pair[0]:
                    yield from _repeats(plain, index, index + 2)
            elif self._words.word_pairs.isdisjoint(pairs[max(0, index - 1) : index + 2]):
                yield index, index + 2, "look", self._words.odd_pairs[pair]

    def _may_be_in_word(self, plain: str, at: int) -> bool:
        """True where the character and a neighbour sound, or look, like two neighbours in a telling word."""
        left, right = plain[max(0, at - 1) : at], plain[at + 1 : at + 2]
        chars = (plain[at], *LOOKALIKES.get(plain[at], ()))
        pairs = self._words.telling_by_sound
        return any(
            (left and HEADS[left] + SOUNDS[char] in pairs) or (right and HEADS[char] + SOUNDS[right] in pairs)
            for char in chars
        )


def _is_grade(plain: str, start: int, end: int) -> bool:
    """A grade, a day, a quarter or a unit beside a digit or a sign: r2, c3, t+1, q2, 10w."""
    beside = plain[max(0, start - 1) : start] + plain[end : end + 1]
    return end - start == 1 and plain[start] in _GRADES and not _NUMBERS.isdisjoint(beside)


def _is_between_characters(plain: str, start: int, end: int) -> bool:
    return start > 0 and end < len(plain) and all(SOUNDS[plain[at]] != NOT_A_SOUND for at in (start - 1, end))


def _repeats(plain: str, start: int, end: int) -> Iterator[Spot]:
    """Every run of one character between start and end, as that character once."""
    position = start
    while position < end:
        last = position + 1
        while last < len(plain) and plain[last] == plain[position]:
            last += 1
        if last - position > 1:
            yield position, last, "repeat", (plain[position],)
        position = last
