"""Chinese and slang ways to write a percentage or a multiple, brought to one form: `8%`, `2倍`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DIGITS = {
    "零": 0,
    "〇": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
}
TENS = {"十": 10, "百": 100, "千": 1000}

_CHINESE = "[零〇一二两三四五六七八九十百千]"
# Bounded, and never from inside a longer number: a page of digits costs one look per character.
_NUMBER = (
    rf"(?:(?<![0-9])[0-9]{{1,12}}(?:\.[0-9]{{1,8}})?"
    rf"|(?<!第)(?<!{_CHINESE}){_CHINESE}{{1,12}}(?:点{_CHINESE}{{1,8}})?)"
)
# 八厘 is a rate only beside a word for interest; elsewhere it is a length or a tax point.
# A clock follows 点 with 钟, 半 or a digit: 八个点钟 is no rate.
_FIGURE = re.compile(
    rf"百分之(?P<of_hundred>{_NUMBER})"
    rf"|(?P<percent>{_NUMBER})\s*(?:%|个?百分点|个点(?![钟评名击位子]))"
    rf"|(?<=[年利息率])(?P<li>{_NUMBER})厘"
    rf"|(?<!{_CHINESE})(?P<times>{_CHINESE}{{1,12}})倍"
)
_APPROXIMATE = re.compile("[一二两三四五六七八九]{2}")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure found in a text: its span there and its canonical writing."""

    start: int
    end: int
    canonical: str


def parse_number(text: str) -> str | None:
    """
    Decimal writing of a Chinese or Arabic numeral; None when it is none.

    Two digits in a row are an estimate (六七个点) and become a range.

    >>> parse_number("十二"), parse_number("三点五"), parse_number("六七"), parse_number("1.50")
    ('12', '3.5', '6-7', '1.5')
    """
    if text[0].isascii():
        return f"{float(text):.12g}"
    whole, _, fraction = text.partition("点")
    if _APPROXIMATE.fullmatch(whole) and not fraction:
        return f"{DIGITS[whole[0]]}-{DIGITS[whole[1]]}"
    value = _parse_whole(whole)
    if value is None:
        return None
    if not fraction:
        return str(value)
    if any(char not in DIGITS for char in fraction):
        return None
    return f"{value}.{''.join(str(DIGITS[char]) for char in fraction)}"


def _parse_whole(text: str) -> int | None:
    """`一百二十` → 120; a bare digit string reads positionally (`二零` → 20)."""
    if all(char in DIGITS for char in text):
        return int("".join(str(DIGITS[char]) for char in text))
    total, digit = 0, 0
    for char in text:
        if char in DIGITS:
            digit = DIGITS[char]
        else:
            total += (digit or 1) * TENS[char]
            digit = 0
    return total + digit


def find_figures(text: str) -> Iterator[Figure]:
    """Every percentage and multiple in folded text, left to right, not overlapping."""
    for match in _FIGURE.finditer(text):
        kind = str(match.lastgroup)
        number = parse_number(match.group(kind))
        if number is None:
            continue
        yield Figure(match.start(), match.end(), f"{number}{'倍' if kind == 'times' else '%'}")
