"""Words hidden in, or misheard as, characters of the same sound."""

import re
from collections.abc import Iterator, Sequence

from rules.disguise.reading import Disguise
from rules.disguise.sounds import SOUNDS
from rules.disguise.units import MOST_CHOICES, is_ordinary, windows
from rules.disguise.vocabulary import Vocabulary

HOMOPHONE = "homophone"
_FIGURE_BESIDE = re.compile("[0-9%]")


class SoundAlikes:
    """Finds the hidden words of a vocabulary by their sound."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = vocabulary

    def places(self, pairs: Sequence[str]) -> list[int]:
        """Where two neighbours sound like two of a hidden word and are no everyday pair; hardly ever."""
        if self._words.sound_pairs.isdisjoint(pairs):
            return []
        telling, common = self._words.sound_pairs, self._words.word_pairs
        last = len(pairs) - 1
        return [
            index
            for index, pair in enumerate(pairs)
            if pair in telling
            # Each of the two belongs to an everyday word with its other neighbour: 日报|本周.
            and not (0 < index < last and pairs[index - 1] in common and pairs[index + 1] in common)
        ]

    def disguises(self, plain: str, places: Sequence[int]) -> Iterator[tuple[int, Disguise]]:
        """Hidden words at these places, with their rank among words of the same sound."""
        for place in places:
            pair = plain[place : place + 2]
            meant = self._words.mistaken.get(pair)
            if meant is None:
                yield from self._hidden(plain, place)
            elif pair in self._words.rare or self._is_beside_its_like(plain, place, place + 2):
                yield 0, Disguise(place, place + 2, meant, HOMOPHONE)

    def _hidden(self, plain: str, place: int) -> Iterator[tuple[int, Disguise]]:
        for start, end in windows(place, place + 2, len(plain)):
            key = tuple(map(SOUNDS.__getitem__, plain[start:end]))
            words = [word for word in self._words.by_sound.get(key, ()) if word in self._words.hidden]
            if not words or plain[start:end] in self._words.words:
                continue
            for rank, word in enumerate(words[:MOST_CHOICES]):
                changed = [start + i for i, char in enumerate(word) if char != plain[start + i]]
                if 2 * len(changed) <= len(word) and not is_ordinary(plain, start, end, changed):
                    yield rank, Disguise(start, end, word, HOMOPHONE)

    def _is_beside_its_like(self, plain: str, start: int, end: int) -> bool:
        """True next to a figure or to another word that people hide, as it is or misheard: 年华6%, 预期受益, 与其年画."""
        return (
            _FIGURE_BESIDE.search(plain[max(0, start - 1) : start] + plain[end : end + 1]) is not None
            or self._is_hidden(plain[max(0, start - 2) : start])
            or self._is_hidden(plain[end : end + 2])
        )

    def _is_hidden(self, pair: str) -> bool:
        return pair in self._words.hidden or pair in self._words.mistaken
