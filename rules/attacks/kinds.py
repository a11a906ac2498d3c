"""The kinds of disguise. Each rewrites one stretch of a text; None where it cannot."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from types import MappingProxyType

import opencc

from rules.attacks.text import Edit
from rules.disguise.common_words import common_words
from rules.disguise.shapes import DEAD_VARIANTS, LOOKALIKES, PICTURES, SPLITS
from rules.disguise.sounds import loose, syllable
from rules.disguise.vocabulary import sound_key

# Rewrites the stretch [start, end) of a text.
Rewrite = Callable[[str, int, int, Random], list[Edit]]

MARKS = "*·.-_|/~+#"
ORNAMENTS = "❤❀★✨🌸😊☆"
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u202d\u00ad"
STRIKES = "\u0336\u0335\u0338\u20e3"
_HUNDRED = re.compile(r"(?<![\d.])(\d{1,2}(?:\.\d)?)\s?[%％]")
_DIGITS = "零一二三四五六七八九"


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to disguise. `whole` kinds rewrite the marked stretch itself, others a word in it."""

    name: str
    means: str
    rewrite: Rewrite
    whole: bool = False


@cache
def _sound_alikes() -> dict[str, list[str]]:
    """Everyday simplified characters by their toneless syllable."""
    found: dict[str, list[str]] = {}
    for code in range(0x4E00, 0xA000):
        char = chr(code)
        try:
            char.encode("gb2312")
        except UnicodeEncodeError:
            continue
        found.setdefault(syllable(char), []).append(char)
    return found


@cache
def _mistaken() -> dict[tuple[str, ...], list[str]]:
    """Everyday words of two characters by how they sound to a machine."""
    found: dict[tuple[str, ...], list[str]] = {}
    for word in common_words():
        if len(word) == 2:
            found.setdefault(sound_key(word), []).append(word)
    return found


@cache
def _looks_of() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for shown, meant in LOOKALIKES.items():
        for char in sorted(meant):
            found.setdefault(char, []).append(shown)
    for shown, char in DEAD_VARIANTS.items():
        found.setdefault(char, []).append(shown)
    return {char: sorted(shown) for char, shown in found.items()}


@cache
def _parts_of() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for parts, char in SPLITS.items():
        found.setdefault(char, []).append(parts)
    return found


@cache
def _pictures_of() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for picture, words in PICTURES.items():
        for word in words:
            found.setdefault(word, []).append(picture)
    return found


@cache
def _traditional() -> opencc.OpenCC:
    return opencc.OpenCC("s2t")


def _one_character(choices: Callable[[str], list[str]]) -> Rewrite:
    """Replace one character that has a choice."""

    def rewrite(text: str, start: int, end: int, rng: Random) -> list[Edit]:
        places = [(index, found) for index in range(start, end) if (found := choices(text[index]))]
        if not places:
            return []
        index, found = rng.choice(places)
        return [(index, index + 1, rng.choice(found))]

    return rewrite


def _homophones(char: str) -> list[str]:
    return (
        [other for other in _sound_alikes().get(syllable(char), ()) if other != char]
        if syllable(char)
        else []
    )


def _heard(text: str, start: int, end: int, rng: Random) -> list[Edit]:
    """As speech recognition writes it: another word of the same sound, or characters of nearly the same sound."""
    word = text[start:end]
    others = (
        [other for other in _mistaken().get(sound_key(word), ()) if other != word] if len(word) == 2 else []
    )
    if others:
        return [(start, end, rng.choice(others))]
    near = [
        other
        for sound, chars in _sound_alikes().items()
        if loose(sound) == loose(syllable(word[-1]))
        for other in chars
    ]
    near = [other for other in near if other != word[-1]]
    return [(end - 1, end, rng.choice(near))] if near and syllable(word[-1]) else []


def _spelt_whole(text: str, start: int, end: int, rng: Random) -> list[Edit]:
    sounds = [syllable(char) for char in text[start:end]]
    return [(start, end, rng.choice(("", "", " ")).join(sounds))] if all(sounds) else []


def _initials(text: str, start: int, end: int, rng: Random) -> list[Edit]:
    del rng
    sounds = [syllable(char) for char in text[start:end]]
    return [(start, end, "".join(sound[0] for sound in sounds))] if all(sounds) and len(sounds) > 1 else []


def _between(inserted: str) -> Rewrite:
    """Put something between every two characters."""

    def rewrite(text: str, start: int, end: int, rng: Random) -> list[Edit]:
        mark = rng.choice(inserted)
        return [(index, index + 1, text[index] + mark) for index in range(start, end - 1)]

    return rewrite


def _behind(inserted: str) -> Rewrite:
    """Put something behind every character."""

    def rewrite(text: str, start: int, end: int, rng: Random) -> list[Edit]:
        return [(index, index + 1, text[index] + rng.choice(inserted)) for index in range(start, end)]

    return rewrite


def _full_width(text: str, start: int, end: int, rng: Random) -> list[Edit]:
    del rng
    return [(i, i + 1, chr(ord(text[i]) + 0xFEE0)) for i in range(start, end) if "!" <= text[i] <= "~"]


def _to_traditional(text: str, start: int, end: int, rng: Random) -> list[Edit]:
    del rng
    piece = text[start:end]
    written = str(_traditional().convert(piece))
    return [(start, end, written)] if written != piece else []


def _as_picture(text: str, start: int, end: int, rng: Random) -> list[Edit]:
    found = [
        (index, index + len(word), pictures)
        for word, pictures in _pictures_of().items()
        for index in range(start, end - len(word) + 1)
        if text.startswith(word, index)
    ]
    if not found:
        return []
    first, last, pictures = rng.choice(found)
    return [(first, last, rng.choice(pictures))]


def _repeated(text: str, start: int, end: int, rng: Random) -> list[Edit]:
    if rng.random() < 0.5:
        return [(index, index + 1, text[index] * 2) for index in range(start, end)]
    index = rng.randrange(start, end)
    return [(index, index + 1, text[index] * 3)]


def _other_numerals(text: str, start: int, end: int, rng: Random) -> list[Edit]:
    return [
        (*match.span(), rng.choice(_writings(match.group(1))))
        for match in _HUNDRED.finditer(text, start, end)
    ]


def _writings(number: str) -> list[str]:
    whole, _, fraction = number.partition(".")
    tens, ones = divmod(int(whole), 10)
    spoken = ("" if tens == 0 else ("" if tens == 1 else _DIGITS[tens]) + "十") + (
        _DIGITS[ones] if ones or not tens else ""
    )
    if fraction:
        spoken += "点" + _DIGITS[int(fraction)]
    return [f"百分之{spoken}", f"{spoken}个点", f"{number}个点", f"{number}个百分点", f"{number}％"]


_KINDS = (
    Kind("homophone", "one character of the same sound: 保本 as 堡本", _one_character(_homophones)),
    Kind("asr", "a word as speech recognition mishears it: 年化 as 年华", _heard),
    Kind("pinyin", "a word in letters: baoben", _spelt_whole),
    Kind(
        "mixed_pinyin",
        "one character in letters: 稳zhuan",
        _one_character(lambda char: [syllable(char)] if syllable(char) else []),
    ),
    Kind("initials", "a word as its first letters: wz不赔", _initials),
    Kind(
        "mixed_initial",
        "one character as its first letter: 稳z",
        _one_character(lambda char: [syllable(char)[0]] if syllable(char) else []),
    ),
    Kind(
        "look_alike",
        "one character that looks alike: 夲金",
        _one_character(lambda char: _looks_of().get(char, [])),
    ),
    Kind(
        "split", "one character taken apart: 亻呆本", _one_character(lambda char: _parts_of().get(char, []))
    ),
    Kind("marks", "marks between the characters: 保*本", _between(MARKS)),
    Kind("ornaments", "pictures between the characters: 保❤本", _between(ORNAMENTS)),
    Kind("spaces", "blanks between the characters: 保 本", _between(" \u3000")),
    Kind("zero_width", "invisible characters between: 保\\u200b本", _between(INVISIBLE)),
    Kind("strike_through", "combining marks behind the characters", _behind(STRIKES)),
    Kind("full_width", "letters, digits and marks in full width: ８％", _full_width, whole=True),
    Kind("traditional", "traditional characters: 保證", _to_traditional, whole=True),
    Kind("pictures", "a picture for a word: 稳💰", _as_picture),
    Kind("numerals", "a percentage in other words: 八个点", _other_numerals, whole=True),
    Kind("repeated", "characters written more than once: 保保本本", _repeated),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _KINDS})
