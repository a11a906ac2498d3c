"""Pinyin: what a character sounds like, and which syllables a run of Latin letters spells."""

from functools import cache, lru_cache

from rules.disguise.syllable_table import read_table

NOT_A_SOUND = "\0"
LONGEST_RUN = 24
LONGEST_SYLLABLE = 6

# Sounds that speakers and speech recognition mix up: flat and curled tongue, front and back nasal.
_FUZZY = (("zh", "z"), ("ch", "c"), ("sh", "s"))
_FUZZY_ENDS = (("ing", "in"), ("eng", "en"))


def syllable(char: str) -> str:
    """
    The toneless syllable of a character, '' when it has none.

    >>> syllable("稳"), syllable("率"), syllable("a")
    ('wen', 'lv', '')
    """
    return _syllable_of().get(char, "")


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


@cache
def _syllable_of() -> dict[str, str]:
    """The syllable of every character that has one."""
    known = {char: sound for sound, chars in read_table().items() for char in chars}
    return known | _SPOKEN


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
# Followed by a blank: the first of two neighbours.
HEADS = Sounds(after=" ")


@cache
def _syllables() -> frozenset[str]:
    """Every syllable that some character has."""
    return frozenset(read_table())


@lru_cache(maxsize=4096)
def spelt(run: str) -> tuple[str, ...] | None:
    """
    A run of lower-case letters as few syllables, or first letters where it must be; None without any syllable.

    >>> spelt("baoben"), spelt("zhuan"), spelt("qnian"), spelt("bz")
    (('bao', 'ben'), ('zhuan',), ('q', 'nian'), None)
    """
    if len(run) > LONGEST_RUN:
        return None
    known = _syllables()
    # For each prefix: how many first letters and syllables it takes, and which.
    best: list[tuple[int, int, tuple[str, ...]]] = [(0, 0, ())]
    for end in range(1, len(run) + 1):
        letters, parts, found = best[end - 1]
        chosen = (letters + 1, parts + 1, (*found, run[end - 1]))
        for start in range(max(0, end - LONGEST_SYLLABLE), end - 1):
            letters, parts, found = best[start]
            if run[start:end] in known:
                chosen = min(chosen, (letters, parts + 1, (*found, run[start:end])))
        best.append(chosen)
    letters, parts, found = best[-1]
    return found if letters < parts else None
