"""
The second reading of a text in which something odd stands.

The plain text is always matched as it is. Where letters stand among Chinese characters, where a character
is one that looks or sounds like another, is doubled, taken apart, cut by a picture or replaced by one, the
odd place is read as a word of the pack, if it makes one and if the characters make no ordinary word as they
stand. Nothing else changes, so that innocent text is not rewritten into something that a rule hits.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import add, eq

from rules.disguise.common_words import common_words, everyday_characters, touching
from rules.disguise.shapes import DEAD_VARIANTS, LOOKALIKES, ORNAMENT, PICTURES, RADICALS, SPLITS
from rules.disguise.sounds import NOT_A_SOUND, SOUNDS, Sounds, loose, spelt
from rules.disguise.vocabulary import LONGEST, SHORTEST, Vocabulary
from rules.errors import RuleTimeout
from rules.text import NormalisedText, replaced

MOST_READINGS = 4
# Past this a message is a puzzle, not a chat: a person reads it.
MOST_ODD_PLACES = 2000
LONGEST_INITIALS = 4
_HAN = "\u4e00-\u9fff"

# Letters that stand in Chinese text every day and abbreviate no promise.
_EVERYDAY = """
app vip etf fof qdii reits lof ipo pe pb roe gdp cpi ppi lpr ai ok hi no yes id it tv pc cd dvd kfc usb wifi
gps atm pos bb mm gg dd jj zz hh xx aa ab qq hr ceo cfo ppt pdf word excel pm am km kg cm mm ml usd cny rmb hk us uk nba ktv mba sh sz bj
"""
EVERYDAY_LETTERS = frozenset(_EVERYDAY.split())

_LETTERS = re.compile("[a-z]+(?: [a-z]+)*")
# Several blanks or tildes between two characters; commas and full stops end clauses and stay.
_GAPS = re.compile(f"(?<=[{_HAN}])[ ~]+(?=[{_HAN}])")
_DOUBLED = re.compile(f"(?:([{_HAN}])\\1){{2,}}|([{_HAN}])\\2{{2,}}")
_ORNAMENTS = re.compile(f"(?:{ORNAMENT.pattern}[\ufe0f\u200d]*)+")
_DEAD = re.compile("[" + "".join(DEAD_VARIANTS) + "]")
_RADICALS = "".join(RADICALS)
_ODD = re.compile(f"[a-z]|{ORNAMENT.pattern}|[{''.join(DEAD_VARIANTS)}{_RADICALS}]|(?<=[{_HAN}])[ ~]")
# How a place may be odd beyond doubt: no ordinary text has it, whatever stands around.
SEAM = "ornament"
_GRADES = frozenset("0123456789+-")
_CERTAIN = frozenset({"dead", "radical", SEAM})
# Characters that some look-alike stands for: read as themselves, not by their sound.
_MEANT = frozenset(char for meant in LOOKALIKES.values() for char in meant)
_FIGURE_BESIDE = re.compile("[0-9%]")


_HEADS = Sounds(after=" ")


# Start, end, kind and what may be read there instead.
_Spot = tuple[int, int, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Disguise:
    """A stretch of normalised text and the word that it stands for."""

    start: int
    end: int
    word: str
    how: str


@dataclass(frozen=True, slots=True)
class Reading:
    """
    A text with its disguises replaced. `changed` are their spans in `text.text`.

    Where something was only taken out, the span is empty: what counts must lie on both sides.
    """

    text: NormalisedText
    changed: tuple[tuple[int, int], ...]
    disguises: tuple[Disguise, ...]


@dataclass(frozen=True, slots=True)
class _Unit:
    """What stands for one character of a word: the character itself, one to be read instead, or letters."""

    start: int
    end: int
    char: str = ""
    sound: str = ""
    how: str = ""

    def may_be(self, char: str) -> bool:
        if self.char:
            return self.char == char or (not self.how and self.sound == SOUNDS[char])
        return SOUNDS[char].startswith(self.sound) if len(self.sound) == 1 else SOUNDS[char] == self.sound


class Reader:
    """Finds disguised words of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = vocabulary
        everyday = "".join(sorted(everyday_characters().union(*vocabulary.words)))
        self._rare = re.compile(f"(?![{everyday}])[{_HAN}]")

    def readings(self, text: NormalisedText) -> list[Reading]:
        """
        Other readings of a text, the likeliest first; none for almost every message.

        Raises RuleTimeout for a text with more odd places than anybody writes.
        """
        plain = text.text
        pairs = list(map(add, plain, plain[1:]))
        by_sound = self._odd_sounds(plain, pairs)
        spots: list[_Spot] = []
        if (
            not self._words.odd_pairs.isdisjoint(pairs)
            or _ODD.search(plain)
            or self._rare.search(plain)
            or any(map(eq, plain, plain[1:]))
        ):
            first: dict[tuple[int, int], _Spot] = {}
            for spot in self._spots(plain, pairs):
                first.setdefault((spot[0], spot[1]), spot)
            spots = sorted(first.values())
        if not spots and not by_sound:
            return []
        _check_number(spots)
        found: list[list[Disguise]] = [[] for _ in range(MOST_READINGS)]
        found[0].extend(
            Disguise(start, end, options[0], how) for start, end, how, options in spots if how in _CERTAIN
        )
        for choice, units in _unit_lists(plain, spots):
            for rank, disguise in self._hidden(plain, units):
                found[max(rank, choice)].append(disguise)
        for rank, disguise in by_sound:
            found[rank].append(disguise)
        readings: list[Reading] = []
        for rank, disguises in enumerate(found):
            if disguises:
                others = [item for earlier in found[:rank] for item in earlier]
                readings.append(_read(text, _apart(disguises, others)))
        return readings

    def _odd_sounds(self, plain: str, pairs: Sequence[str]) -> list[tuple[int, Disguise]]:
        """Words hidden in characters of the same sound."""
        sounds = map(add, map(_HEADS.__getitem__, plain), map(SOUNDS.__getitem__, plain[1:]))
        known, telling = self._words.known_pairs, self._words.sound_pairs
        mistaken = self._words.mistaken
        common = self._words.word_pairs
        last = len(pairs) - 1
        places = [
            index
            for index, sound in enumerate(sounds)
            if sound in telling
            and (pairs[index] not in known or pairs[index] in mistaken)
            # Each of the two belongs to an everyday word with its other neighbour: 日报|本周.
            and not (0 < index < last and pairs[index - 1] in common and pairs[index + 1] in common)
        ]
        if not places:
            return []
        _check_number(places)
        found: list[tuple[int, Disguise]] = []
        for place in places:
            meant = mistaken.get(pairs[place])
            if meant is not None:
                if self._is_beside_its_like(plain, place, place + 2):
                    found.append((0, Disguise(place, place + 2, meant, "homophone")))
                continue
            for start, end in _windows(place, place + 2, len(plain)):
                key = tuple(map(SOUNDS.__getitem__, plain[start:end]))
                words = [word for word in self._words.by_sound.get(key, ()) if word in self._words.hidden]
                if not words or plain[start:end] in self._words.words:
                    continue
                for rank, word in enumerate(words[:MOST_READINGS]):
                    changed = [start + i for i, char in enumerate(word) if char != plain[start + i]]
                    if 2 * len(changed) <= len(word) and not _is_ordinary(plain, start, end, changed):
                        found.append((rank, Disguise(start, end, word, "homophone")))
        return found

    def _is_beside_its_like(self, plain: str, start: int, end: int) -> bool:
        """True next to a figure or to another word that people hide: 年华6%, 预期受益."""
        return (
            _FIGURE_BESIDE.search(plain[max(0, start - 1) : start] + plain[end : end + 1]) is not None
            or plain[max(0, start - 2) : start] in self._words.hidden
            or plain[end : end + 2] in self._words.hidden
        )

    def _spots(self, plain: str, pairs: Sequence[str]) -> Iterator[_Spot]:
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
            else:
                for at, char in ((index, pair[0]), (index + 1, pair[1])):
                    if char in LOOKALIKES and self._words.word_pairs.isdisjoint(
                        pairs[max(0, at - 1) : at + 1]
                    ):
                        yield at, at + 1, "look", (*sorted(LOOKALIKES[char]), char)

    def _may_be_in_word(self, plain: str, at: int) -> bool:
        """True where the character and a neighbour sound, or look, like two neighbours in some word."""
        left, right = plain[max(0, at - 1) : at], plain[at + 1 : at + 2]
        chars = (plain[at], *LOOKALIKES.get(plain[at], ()))
        pairs = self._words.pairs_by_sound
        return any(
            (left and _HEADS[left] + SOUNDS[char] in pairs)
            or (right and _HEADS[char] + SOUNDS[right] in pairs)
            for char in chars
        )

    def _hidden(self, plain: str, units: Sequence[_Unit]) -> Iterator[tuple[int, Disguise]]:
        """Words in which at least one odd unit takes part."""
        odd = [index for index, unit in enumerate(units) if unit.how and unit.how != SEAM]
        seen: set[tuple[int, int]] = set()
        for place in odd:
            for first, last in _windows(place, place + 1, len(units)):
                if (first, last) in seen:
                    continue
                seen.add((first, last))
                window = units[first:last]
                for rank, word in enumerate(self._words_of(plain, window)):
                    if rank == MOST_READINGS:
                        break
                    yield rank, Disguise(window[0].start, window[-1].end, word, window[0].how or "mixed")

    def _words_of(self, plain: str, window: Sequence[_Unit]) -> Iterator[str]:
        if window[0].how == "gap":
            return
        start, end = window[0].start, window[-1].end
        letters = [unit for unit in window if unit.how == "letters"]
        if letters and not _whole_runs(plain, window):
            return
        initials = any(len(unit.sound) == 1 for unit in letters)
        if initials:
            choices: Sequence[str] = self._by_letters(plain, window, letters)
        else:
            choices = self._words.by_sound.get(tuple(unit.sound for unit in window), ())
            written = "".join(unit.char for unit in window)
            if len(written) == len(window) and written in self._words.words:
                choices = (written, *(word for word in choices if word != written))
        hidden_only = any(unit.how in ("split", "look") for unit in window)
        weak = hidden_only or any(unit.how in ("repeat", "gap", "rare") for unit in window)
        for word in choices:
            if plain[start:end] == word or not all(map(_Unit.may_be, window, word)):
                continue
            others = sum(
                unit.char != char or unit.how in ("look", "rare")
                for unit, char in zip(window, word, strict=True)
            )
            if (
                initials
                and any(unit.char and unit.char != char for unit, char in zip(window, word, strict=True))
            ) or (
                weak
                and (
                    2 * others > len(word)
                    or (hidden_only and word not in self._words.hidden)
                    or _is_ordinary(plain, start, end, _positions(window, word))
                )
            ):
                continue
            yield word

    def _by_letters(self, plain: str, window: Sequence[_Unit], letters: Sequence[_Unit]) -> Sequence[str]:
        words = self._words.by_initials.get("".join(unit.sound[0] for unit in window), ())
        if len(letters) < len(window):
            return words
        run = plain[window[0].start : window[-1].end]
        return [] if run in EVERYDAY_LETTERS else [word for word in words if word in self._words.telling]


def _unit_lists(plain: str, spots: Sequence[_Spot]) -> Iterator[tuple[int, list[_Unit]]]:
    """
    The surroundings of each odd spot as units, once for each choice of what it may stand for.

    Spots near one another share their surroundings: a word may have several.
    """
    for near in _neighbours(spots):
        most = min(MOST_READINGS, max(len(options) for *_, options in near))
        for choice in range(most):
            units: list[_Unit] = []
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
                    units.append(_Unit(start, end + 1, plain[end], SOUNDS[plain[end]], "gap"))
                    end += 1
                position = end
            units.extend(_plain_units(plain, position, min(len(plain), position + LONGEST)))
            yield choice, units


def _neighbours(spots: Sequence[_Spot]) -> Iterator[list[_Spot]]:
    group: list[_Spot] = []
    for spot in spots:
        if group and spot[0] - group[-1][1] > LONGEST:
            yield group
            group = []
        group.append(spot)
    if group:
        yield group


def _is_grade(plain: str, start: int, end: int) -> bool:
    """A single letter beside a digit or a sign: r2, c3, t+1."""
    beside = plain[max(0, start - 1) : start] + plain[end : end + 1]
    return end - start == 1 and not _GRADES.isdisjoint(beside)


def _is_between_characters(plain: str, start: int, end: int) -> bool:
    return start > 0 and end < len(plain) and all(SOUNDS[plain[at]] != NOT_A_SOUND for at in (start - 1, end))


def _repeats(plain: str, start: int, end: int) -> Iterator[_Spot]:
    """Every run of one character between start and end, as that character once."""
    position = start
    while position < end:
        last = position + 1
        while last < len(plain) and plain[last] == plain[position]:
            last += 1
        if last - position > 1:
            yield position, last, "repeat", (plain[position],)
        position = last


def _plain_units(plain: str, start: int, end: int) -> Iterator[_Unit]:
    for index in range(start, end):
        yield _Unit(index, index + 1, plain[index], SOUNDS[plain[index]])


def _odd_units(start: int, end: int, how: str, option: str) -> Iterator[_Unit]:
    if how == "rare" and end - start == len(option) and option not in _MEANT:
        yield _Unit(start, end, sound=SOUNDS[option], how=how)
        return
    if how != "letters":
        for char in option:
            yield _Unit(start, end, char, SOUNDS[char], how)
        return
    position = start
    for run in option.split(" "):
        sounds = spelt(run) if len(run) > 1 else None
        if sounds is None:
            sounds = tuple(run) if len(option) <= LONGEST_INITIALS else ()
        for sound in sounds:
            yield _Unit(
                position, position + len(sound), sound=loose(sound) if len(sound) > 1 else sound, how=how
            )
            position += len(sound)
        if not sounds:
            yield _Unit(position, position + len(run), sound=NOT_A_SOUND, how=how)
            position += len(run)
        position += 1


def _windows(first: int, last: int, length: int) -> Iterator[tuple[int, int]]:
    """Stretches of a word's length that hold `[first, last)`, longest first."""
    for size in range(LONGEST, SHORTEST - 1, -1):
        for start in range(max(0, last - size), min(first, length - size) + 1):
            yield start, start + size


def _whole_runs(plain: str, window: Sequence[_Unit]) -> bool:
    """False where the window cuts a run of letters in two."""
    start, end = window[0].start, window[-1].end
    cut_left = window[0].how == "letters" and start > 0 and "a" <= plain[start - 1] <= "z"
    cut_right = window[-1].how == "letters" and end < len(plain) and "a" <= plain[end] <= "z"
    return not cut_left and not cut_right


def _positions(window: Sequence[_Unit], word: str) -> list[int]:
    return [
        index
        for unit, char in zip(window, word, strict=True)
        if unit.how or unit.char != char
        for index in range(unit.start, unit.end)
    ]


def _is_ordinary(plain: str, start: int, end: int, changed: Sequence[int]) -> bool:
    """True where the characters make a word as they stand: one that is changed, or one across the edge."""
    return any(
        first < start or last > end or any(first <= index < last for index in changed)
        for first, last in touching(plain, start, end)
    )


def _apart(disguises: Sequence[Disguise], others: Sequence[Disguise]) -> list[Disguise]:
    """The longest first, then those of likelier readings, none across another; in text order."""
    kept: list[Disguise] = []
    for group in (disguises, others):
        for item in sorted(group, key=lambda item: item.start - item.end):
            if all(item.end <= other.start or other.end <= item.start for other in kept):
                kept.append(item)
    return sorted(kept, key=lambda item: item.start)


def _read(text: NormalisedText, disguises: Sequence[Disguise]) -> Reading:
    changed = []
    shift = 0
    for item in disguises:
        start = item.start + shift
        changed.append((start, start if item.how == SEAM else start + len(item.word)))
        shift += len(item.word) - (item.end - item.start)
    edits = [(item.start, item.end, item.word) for item in disguises]
    return Reading(replaced(text, edits), tuple(changed), tuple(disguises))


def _check_number(places: Sequence[object]) -> None:
    if len(places) > MOST_ODD_PLACES:
        raise RuleTimeout(f"more than {MOST_ODD_PLACES} odd places in one message; a person has to read it")
