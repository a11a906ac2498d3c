"""
The second reading of a text in which something odd stands.

The plain text is always matched as it is. Where letters stand among Chinese characters, where a character
is one that looks or sounds like another, is doubled, taken apart, cut by a picture or replaced by one, the
odd place is read as a word of the pack, if it makes one and if the characters make no ordinary word as they
stand. Nothing else changes, so that innocent text is not rewritten into something that a rule hits.
"""

import re
from collections.abc import Iterator, Sequence
from operator import add

from rules.disguise.reading import SEAM, Disguise, Reading, apart, read
from rules.disguise.sound_alikes import SoundAlikes
from rules.disguise.sounds import NOT_A_SOUND
from rules.disguise.spots import EVERYDAY_LETTERS, SpotFinder
from rules.disguise.units import (
    MOST_CHOICES,
    Unit,
    changed_positions,
    count_changes,
    is_ordinary,
    unit_lists,
    whole_runs,
    windows,
)
from rules.disguise.vocabulary import Vocabulary
from rules.errors import RuleTimeout
from rules.text import NormalisedText

# Past this a message is a puzzle, not a chat: a person reads it.
MOST_ODD_PLACES = 2000
# Odd beyond doubt: no ordinary text has it, whatever stands around.
_CERTAIN = frozenset({"dead", "radical", SEAM})
_WHOLE = frozenset({"repeat", "doubled", "gap", "picture"})
# Letters that abbreviate stand in Chinese text or before a figure; others are a name or a foreign word.
_EMBEDS = re.compile("[\u4e00-\u9fff0-9]")
# What follows the letters of a name: a company, a fund, a place.
_AFTER_NAMES = re.compile(
    "(?:科技|股份|集团|公司|控股|实业|电子|医药|生物|新材|智能|能源|传媒|软件|通信|证券|银行|保险|基金|指数|[市区县路站村镇])"
)


class Reader:
    """Finds disguised words of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = vocabulary
        self._spots = SpotFinder(vocabulary)
        self._sounds = SoundAlikes(vocabulary)

    def readings(self, text: NormalisedText) -> list[Reading]:
        """
        Other readings of a text, the likeliest first; none for almost every message.

        Raises RuleTimeout for a text with more odd places than anybody writes.
        """
        plain = text.text
        pairs = list(map(add, plain, plain[1:]))
        places = self._sounds.places(pairs)
        spots = self._spots.find(plain, pairs)
        if not spots and not places:
            return []
        if len(spots) + len(places) > MOST_ODD_PLACES:
            raise RuleTimeout(
                f"more than {MOST_ODD_PLACES} odd places in one message; a person has to read it"
            )
        found: list[list[Disguise]] = [[] for _ in range(MOST_CHOICES)]
        for choice, units in unit_lists(plain, spots):
            for rank, disguise in self._hidden(plain, units):
                found[max(rank, choice)].append(disguise)
        for rank, disguise in self._sounds.disguises(plain, places):
            found[rank].append(disguise)
        # Last: where a word of the same length was found, that is meant.
        found[0].extend(
            Disguise(start, end, options[0], how) for start, end, how, options in spots if how in _CERTAIN
        )
        readings: list[Reading] = []
        for rank, disguises in enumerate(found):
            if disguises:
                others = [item for earlier in found[:rank] for item in earlier]
                readings.append(read(text, apart(disguises, others)))
        return readings

    def _hidden(self, plain: str, units: Sequence[Unit]) -> Iterator[tuple[int, Disguise]]:
        """Words in which at least one odd unit takes part."""
        odd = [index for index, unit in enumerate(units) if unit.how and unit.how != SEAM]
        seen: set[tuple[int, int]] = set()
        for place in odd:
            if not self._fits_a_neighbour(units, place):
                continue
            found: list[tuple[int, Disguise]] = []
            for first, last in windows(place, place + 1, len(units)):
                if (first, last) in seen:
                    continue
                seen.add((first, last))
                window = units[first:last]
                for rank, word in enumerate(self._words_of(plain, window)):
                    if rank == MOST_CHOICES:
                        break
                    found.append((rank, Disguise(window[0].start, window[-1].end, word, _kind(window))))
            # A single letter fits many words: those that people hide are meant before all others.
            guessed = len(units[place].sound) == 1 and any(
                item.word in self._words.hidden for _, item in found
            )
            for rank, item in found:
                later = guessed and item.word not in self._words.hidden
                yield min(rank + later, MOST_CHOICES - 1), item

    def _fits_a_neighbour(self, units: Sequence[Unit], place: int) -> bool:
        """False where no word has the unit beside either of its neighbours: the cheap question before all others."""
        pairs = self._words.pairs_by_sound
        for left in (place - 1, place):
            if 0 <= left < len(units) - 1:
                one, other = units[left].sound, units[left + 1].sound
                known = len(one) == 1 or len(other) == 1 or f"{one} {other}" in pairs
                if known and NOT_A_SOUND not in (one, other):
                    return True
        return False

    def _words_of(self, plain: str, window: Sequence[Unit]) -> Iterator[str]:
        if window[0].how == "gap":
            return
        key = tuple(unit.sound for unit in window)
        choices: Sequence[str] = self._words.by_sound.get(key, ())
        letters = [unit for unit in window if unit.how == "letters"]
        initials = any(len(unit.sound) == 1 for unit in letters)
        if (
            (not choices and not initials)
            or NOT_A_SOUND in key
            or (letters and not whole_runs(plain, window))
        ):
            return
        start, end = window[0].start, window[-1].end
        if initials:
            choices = self._by_letters(plain, window, letters)
        else:
            written = "".join(unit.char for unit in window)
            if len(written) == len(window) and written in self._words.words:
                choices = (written, *(word for word in choices if word != written))
        hidden_only = any(unit.how in ("split", "look") for unit in window)
        weak = hidden_only or any(unit.how in ("repeat", "gap", "rare") for unit in window)
        # Who cuts or doubles a word, or writes first letters, does not change its other characters as well.
        exact = initials or all(unit.how in _WHOLE for unit in window if unit.how)
        for word in choices:
            if plain[start:end] == word or not all(map(Unit.may_be, window, word)):
                continue
            others = count_changes(plain, window, word)
            if (exact and _differs(window, word)) or (
                weak
                and (
                    2 * others > len(word)
                    or (hidden_only and word not in self._words.hidden)
                    or is_ordinary(plain, start, end, changed_positions(window, word))
                )
            ):
                continue
            yield word

    def _by_letters(self, plain: str, window: Sequence[Unit], letters: Sequence[Unit]) -> Sequence[str]:
        words = self._words.by_initials.get("".join(unit.sound[0] for unit in window), ())
        if len(letters) < len(window):
            return words
        start, end = window[0].start, window[-1].end
        if plain[start:end] in EVERYDAY_LETTERS or not _EMBEDS.search(
            plain[max(0, start - 1) : start] + plain[end : end + 1]
        ):
            return []
        if _AFTER_NAMES.match(plain, end):
            return []
        # First letters alone fit many words: only one that people are known to hide is meant.
        return [word for word in words if word in self._words.hidden]


def _differs(window: Sequence[Unit], word: str) -> bool:
    """True when a character of the text is not the one of the word."""
    return any(unit.char and unit.char != char for unit, char in zip(window, word, strict=True))


def _kind(window: Sequence[Unit]) -> str:
    """How the first odd unit of a word is odd."""
    return next((unit.how for unit in window if unit.how and unit.how != SEAM), "mixed")
