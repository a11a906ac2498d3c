"""Pinyin: what a character sounds like, and which syllables a run of Latin letters spells."""

import re
from functools import cache, lru_cache

from pypinyin import Style, pinyin
from pypinyin.constants import PINYIN_DICT

NOT_A_SOUND = "\0"
LONGEST_RUN = 24

# Sounds that speakers and speech recognition mix up: flat and curled tongue, front and back nasal.
_FUZZY = (("zh", "z"), ("ch", "c"), ("sh", "s"))
_FUZZY_ENDS = (("ing", "in"), ("eng", "en"))
_TONES = str.maketrans("āáǎàōóǒòēéěèīíǐìūúǔùǖǘǚǜüńňǹḿ", "aaaaooooeeeeiiiiuuuuvvvvvnnnm")


@cache
def syllable(char: str) -> str:
    """
    The toneless syllable of a character, '' when it has none.

    >>> syllable("稳"), syllable("率"), syllable("a")
    ('wen', 'lv', '')
    """
    if ord(char) not in PINYIN_DICT:
        return ""
    if char in _SPOKEN:
        return _SPOKEN[char]
    return str(pinyin(char, style=Style.NORMAL, v_to_u=False)[0][0])


# Where the dictionary's first reading is not the one that finance talk means.
_SPOKEN = {
    "率": "lv",
    "重": "zhong",
    "长": "zhang",
    "还": "huan",
    "得": "de",
    "都": "dou",
    "会": "hui",
    "不": "bu",
    "行": "hang",
}


def loose(sound: str) -> str:
    """
    The class of sounds that are taken for one another.

    >>> loose("zheng"), loose("ying")
    ('zen', 'yin')
    """
    for curled, flat in _FUZZY:
        if sound.startswith(curled):
            sound = flat + sound[len(curled) :]
            break
    for back, front in _FUZZY_ENDS:
        if sound.endswith(back):
            return sound[: -len(back)] + front
    return sound


class Sounds(dict[str, str]):
    """Loose syllable of each Chinese character with something behind it; worked out once."""

    def __init__(self, after: str = "") -> None:
        super().__init__()
        self._after = after

    def __missing__(self, char: str) -> str:
        sound = loose(syllable(char)) if "\u4e00" <= char <= "\u9fff" else ""
        self[char] = (sound or NOT_A_SOUND) + self._after
        return self[char]


SOUNDS = Sounds()


@cache
def _syllables() -> frozenset[str]:
    """Every syllable that some character has."""
    found = set()
    for readings in PINYIN_DICT.values():
        for reading in readings.split(","):
            found.add(reading.translate(_TONES))
    return frozenset(sound for sound in found if re.fullmatch("[a-z]{1,6}", sound))


@lru_cache(maxsize=4096)
def spelt(run: str) -> tuple[str, ...] | None:
    """
    A run of lower-case letters as syllables, longest first; None when it spells none.

    >>> spelt("baoben"), spelt("zhuan"), spelt("bz")
    (('bao', 'ben'), ('zhuan',), None)
    """
    if len(run) > LONGEST_RUN:
        return None
    known = _syllables()
    best: list[tuple[str, ...] | None] = [()]
    for end in range(1, len(run) + 1):
        found: tuple[str, ...] | None = None
        for start in range(max(0, end - 6), end):
            before = best[start]
            if (
                before is not None
                and run[start:end] in known
                and (found is None or len(before) + 1 < len(found))
            ):
                found = (*before, run[start:end])
        best.append(found)
    return best[-1] or None
