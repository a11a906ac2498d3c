"""Bounds on numbers as expressions: they hold exactly where arithmetic says so."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rules.figures import figure_expression
from rules.schema import FigureBounds

HUNDREDTHS = st.integers(0, 30_000)


def written(hundredths: int) -> str:
    """As normalisation writes a figure: no trailing zeros."""
    return f"{hundredths / 100:.12g}"


@given(HUNDREDTHS, HUNDREDTHS)
def test_a_lower_bound_is_exact(value: int, bound: int) -> None:
    above = figure_expression(FigureBounds(above=bound / 100))
    at_least = figure_expression(FigureBounds(at_least=bound / 100))
    assert (value > bound) == bool(re.fullmatch(above, written(value) + "%"))
    assert (value >= bound) == bool(re.fullmatch(at_least, written(value) + "%"))


@given(HUNDREDTHS, st.integers(1, 30_000))
def test_an_upper_bound_is_exact(value: int, bound: int) -> None:
    below = figure_expression(FigureBounds(below=bound / 100))
    at_most = figure_expression(FigureBounds(at_most=bound / 100))
    assert (value < bound) == bool(re.fullmatch(below, written(value) + "%"))
    assert (value <= bound) == bool(re.fullmatch(at_most, written(value) + "%"))


@given(HUNDREDTHS, st.integers(0, 2_000), st.integers(100, 5_000))
def test_both_bounds_hold_together(value: int, low: int, distance: int) -> None:
    bounds = FigureBounds(at_least=low / 100, below=(low + distance) / 100)
    expected = Decimal(low) <= Decimal(value) < Decimal(low + distance)
    assert expected == bool(re.fullmatch(figure_expression(bounds), written(value) + "%"))


@pytest.mark.parametrize(
    ("bounds", "text", "fits"),
    [
        (FigureBounds(above=6), "5-8%", True),
        (FigureBounds(above=6), "4-6%", False),
        (FigureBounds(below=3), "2-5%", True),
        (FigureBounds(above=6), "8", False),
        (FigureBounds(at_least=2, unit="times"), "2倍", True),
        (FigureBounds(at_least=2, unit="times"), "2%", False),
        (FigureBounds(), "3.5%", True),
    ],
)
def test_ranges_and_units(bounds: FigureBounds, text: str, fits: bool) -> None:
    assert fits == bool(re.fullmatch(figure_expression(bounds), text))


@pytest.mark.parametrize(
    "bounds", [{"above": 6, "at_least": 6}, {"below": 3, "at_most": 3}, {"above": 6, "below": 6.5}]
)
def test_bounds_that_contradict_each_other_are_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        FigureBounds.model_validate(bounds)
