"""Stretches of a text as what may stand for the characters of a word."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rules.disguise.common_words import touching
from rules.disguise.shapes import LOOKALIKES
from rules.disguise.sounds import NOT_A_SOUND, SOUNDS, loose, spelt
from rules.disguise.spots import Spot
from rules.disguise.vocabulary import LONGEST, SHORTEST

MOST_CHOICES = 4
LONGEST_INITIALS = 5
# Characters that some look-alike stands for: read as themselves, not by their sound.
_MEANT = frozenset(char for meant in LOOKALIKES.values() for char in meant)


@dataclass(frozen=True, slots=True)
class Unit:
    """What stands for one character of a word: the character itself, one to be read instead, or letters."""

    start: int
    end: int
    char: str = ""
    sound: str = ""
    how: str = ""

    def may_be(self, char: str) -> bool:
        """True when this may stand for the character."""
        if self.char:
            return self.char == char or (not self.how and self.sound == SOUNDS[char])
        return SOUNDS[char].startswith(self.sound) if len(self.sound) == 1 else SOUNDS[char] == self.sound


def unit_lists(plain: str, spots: Sequence[Spot]) -> Iterator[tuple[int, list[Unit]]]:
    """
    The surroundings of each odd spot as units, once for each choice of what it may stand for.

    Spots near one another share their surroundings: a word may have several.
    """
    for near in _neighbours(spots):
        most = min(MOST_CHOICES, max(len(options) for *_, options in near))
        for choice in range(most):
            units: list[Unit] = []
            position = max(0, near[0][0] - LONGEST)
            for start, end, how, options in near:
                if start < position:
                    continue
                units.extend(_plain_units(plain, position, start))
                option = options[min(choice, len(options) - 1)]
                if option or how == "letters" or end == len(plain):
                    units.extend(_odd_units(start, end, how, option))
                else:
                    # Nothing stands for it: the character behind it takes it along.
                    units.append(Unit(start, end + 1, plain[end], SOUNDS[plain[end]], "gap"))
                    end += 1
                position = end
            units.extend(_plain_units(plain, position, min(len(plain), position + LONGEST)))
            yield choice, units


def windows(first: int, last: int, length: int) -> Iterator[tuple[int, int]]:
    """Stretches of a word's length that hold `[first, last)`, longest first."""
    for size in range(LONGEST, SHORTEST - 1, -1):
        for start in range(max(0, last - size), min(first, length - size) + 1):
            yield start, start + size


def whole_runs(plain: str, window: Sequence[Unit]) -> bool:
    """False where the window cuts a run of letters in two."""
    start, end = window[0].start, window[-1].end
    cut_left = window[0].how == "letters" and start > 0 and "a" <= plain[start - 1] <= "z"
    cut_right = window[-1].how == "letters" and end < len(plain) and "a" <= plain[end] <= "z"
    return not cut_left and not cut_right


def count_changes(plain: str, window: Sequence[Unit], word: str) -> int:
    """How many characters of the word do not stand in the text."""
    return sum(char not in plain[unit.start : unit.end] for unit, char in zip(window, word, strict=True))


def changed_positions(window: Sequence[Unit], word: str) -> list[int]:
    """Where the text stands otherwise than the word."""
    return [
        index
        for unit, char in zip(window, word, strict=True)
        if unit.how or unit.char != char
        for index in range(unit.start, unit.end)
    ]


def is_ordinary(plain: str, start: int, end: int, changed: Sequence[int]) -> bool:
    """True where the characters make a word as they stand: one that is changed, or one across the edge."""
    return any(
        first < start or last > end or any(first <= index < last for index in changed)
        for first, last in touching(plain, start, end)
    )


def _neighbours(spots: Sequence[Spot]) -> Iterator[list[Spot]]:
    group: list[Spot] = []
    for spot in spots:
        if group and spot[0] - group[-1][1] > LONGEST:
            yield group
            group = []
        group.append(spot)
    if group:
        yield group


def _plain_units(plain: str, start: int, end: int) -> Iterator[Unit]:
    for index in range(start, end):
        yield Unit(index, index + 1, plain[index], SOUNDS[plain[index]])


def _odd_units(start: int, end: int, how: str, option: str) -> Iterator[Unit]:
    if how == "rare" and end - start == len(option) and option not in _MEANT:
        yield Unit(start, end, sound=SOUNDS[option], how=how)
        return
    if how == "look" and end - start == len(option):
        for index, char in enumerate(option):
            yield Unit(start + index, start + index + 1, char, SOUNDS[char], how)
        return
    if how != "letters":
        for char in option:
            yield Unit(start, end, char, SOUNDS[char], how)
        return
    position = start
    for run in option.split(" "):
        sounds = spelt(run) if len(run) > 1 else None
        if sounds is None:
            sounds = tuple(run) if len(option) <= LONGEST_INITIALS else ()
        for sound in sounds:
            yield Unit(
                position, position + len(sound), sound=loose(sound) if len(sound) > 1 else sound, how=how
            )
            position += len(sound)
        if not sounds:
            yield Unit(position, position + len(run), sound=NOT_A_SOUND, how=how)
            position += len(run)
        position += 1
