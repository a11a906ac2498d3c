"""
Numbers by value as regular expressions: "above 6 %" without code at matching time.

Figures stand in normalised text as decimals (`8%`, `6.5%`, `6-8%`, `2倍`), so a bound
on the value is a bound on their digits, which a linear-time expression can hold.
"""

from rules.schema import FigureBounds

UNITS = {"percent": "%", "times": "倍"}

_NUMBER = r"\d{1,12}(?:\.\d{1,8})?"
_DASH = "[-~到至]"
# A longer list of whole numbers would bloat the expression; such a bound is a mistake.
MOST_WHOLE_NUMBERS = 1000


def figure_expression(bounds: FigureBounds) -> str:
    """
    A figure within the bounds, with its unit.

    Must not be preceded by a digit or a point: the caller sees to that (`not_before`).

    >>> import re
    >>> [bool(re.fullmatch(figure_expression(FigureBounds(above=6)), f)) for f in ("6%", "6.5%", "12%", "5-8%")]
    [False, True, True, True]
    """
    unit = UNITS[bounds.unit]
    low = bounds.above if bounds.above is not None else bounds.at_least
    high = bounds.below if bounds.below is not None else bounds.at_most
    if low is None and high is None:
        return rf"(?:{_NUMBER}{_DASH})?{_NUMBER}{unit}"
    if high is None:
        assert low is not None
        return rf"(?:{_NUMBER}{_DASH})?{_at_least(low, strict=bounds.above is not None)}{unit}"
    if low is None:
        return rf"{_at_most(high, strict=bounds.below is not None)}(?:{_DASH}{_NUMBER})?{unit}"
    within = _between(low, high, strict_low=bounds.above is not None, strict_high=bounds.below is not None)
    return rf"(?:(?:{_NUMBER}{_DASH})?{within}|{within}{_DASH}{_NUMBER}){unit}"


def _digits(value: float) -> tuple[int, str]:
    """Whole part and fraction digits without trailing zeros."""
    whole, _, fraction = f"{value:.8f}".partition(".")
    return int(whole), fraction.rstrip("0")


def _at_least(bound: float, *, strict: bool) -> str:
    whole, fraction = _digits(bound)
    parts = [_whole_at_least(whole + 1) + r"(?:\.\d{1,8})?", f"{whole}{_fraction_over(fraction, strict)}"]
    return _any(parts)


def _at_most(bound: float, *, strict: bool) -> str:
    whole, fraction = _digits(bound)
    parts = [_whole_at_most(whole - 1) + r"(?:\.\d{1,8})?"] if whole else []
    under = _fraction_under(fraction, strict)
    return _any(parts + ([f"{whole}{under}"] if under is not None else []))


def _between(low: float, high: float, *, strict_low: bool, strict_high: bool) -> str:
    first, low_fraction = _digits(low)
    last, high_fraction = _digits(high)
    if last - first > MOST_WHOLE_NUMBERS:
        raise ValueError(f"the bounds {low:g} and {high:g} lie too far apart; leave one out")
    parts = [f"{first}{_fraction_over(low_fraction, strict_low)}"]
    parts += [rf"{whole}(?:\.\d{{1,8}})?" for whole in range(first + 1, last)]
    under = _fraction_under(high_fraction, strict_high)
    return _any(parts + ([f"{last}{under}"] if under is not None else []))


def _whole_at_least(least: int) -> str:
    digits = str(least)
    parts = [rf"[1-9]\d{{{len(digits)},12}}"]
    parts += [
        f"{digits[:i]}[{int(digit) + 1}-9]" + rf"\d{{{len(digits) - i - 1}}}"
        for i, digit in enumerate(digits)
        if digit != "9"
    ]
    return _any([*parts, digits])


def _whole_at_most(most: int) -> str:
    digits = str(most)
    parts = [rf"\d{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    parts += [
        f"{digits[:i]}[0-{int(digit) - 1}]" + rf"\d{{{len(digits) - i - 1}}}"
        for i, digit in enumerate(digits)
        if digit != "0"
    ]
    return _any([*parts, digits])


def _fraction_over(fraction: str, strict: bool) -> str:
    """What may follow the bound's own whole part for the value to reach (`strict`: pass) the bound."""
    if not fraction:
        return r"\.0*[1-9]\d*" if strict else r"(?:\.\d{1,8})?"
    parts = [rf"{fraction[:i]}[{int(digit) + 1}-9]\d*" for i, digit in enumerate(fraction) if digit != "9"]
    parts.append(rf"{fraction}0*[1-9]\d*" if strict else rf"{fraction}\d*")
    return r"\." + _any(parts)


def _fraction_under(fraction: str, strict: bool) -> str | None:
    """What may follow the bound's own whole part for the value to stay at or under it; None for nothing."""
    if not fraction:
        return None if strict else r"(?:\.0+)?"
    parts = [rf"{fraction[:i]}[0-{int(digit) - 1}]\d*" for i, digit in enumerate(fraction) if digit != "0"]
    parts += [fraction[:i] for i in range(1, len(fraction))]
    if not strict:
        parts.append(rf"{fraction}0*")
    return rf"(?:\.{_any(parts)})?"


def _any(parts: list[str]) -> str:
    return "(?:" + "|".join(parts) + ")"
