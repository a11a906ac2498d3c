"""Hides what could name a person before text becomes training data."""

import re

# Replaced digit by digit and letter by letter, so that evidence offsets stay true.
_NUMBERS = re.compile(
    r"(?<!\d)(?:\d{17}[\dXx]|\d{15,19}|(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}|0\d{2,3}-\d{7,8})(?!\d)"
)
# A run that no address ends is passed over whole: tried again from each of its letters, a long one takes seconds.
_ADDRESSES = re.compile(r"[\w.+-]+(@[\w-]+(?:\.[\w-]+)+)?", re.ASCII)
_ACCOUNTS = re.compile(r"(?i)(?<=微信号)[:：]?\s*[a-z][a-z0-9_-]{5,19}|(?<=wxid_)\w+", re.ASCII)
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[A-Za-z0-9]")


def mask(text: str) -> str:
    """
    Phone, identity and card numbers become zeros, e-mail and chat ids become x. The length stays.

    Names cannot be told from words with certainty and stay; say so to whoever reads the data.

    >>> mask("我电话13812345678，保本的")
    '我电话00000000000，保本的'
    """
    text = _NUMBERS.sub(lambda match: _DIGIT.sub("0", match.group()), text)
    text = _ADDRESSES.sub(lambda match: _LETTER.sub("x", match[0]) if match[1] else match[0], text)
    return _ACCOUNTS.sub(lambda match: _LETTER.sub("x", match.group()), text)
