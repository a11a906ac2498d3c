"""The prefilter may name too many patterns, never too few."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine import Engine
from rules.loader import load_pack
from rules.prefilter import Prefilter, needed_words


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("保本", {"保本"}),
        ("(?:亏了|赔了)[^,]{0,4}公司?补", {"亏了", "赔了"}),
        ("(?:保|稳)?赚钱", {"赚钱"}),
        ("[保包]本", {"保本", "包本"}),
        ("保本(?:的|息)?", {"保本"}),
        (r"\d+%", {"%"}),
        (r"\d+", None),
        ("(?:a|b*)", None),
        (r"\p{Han}保本", None),  # Python's parser does not know it, so it is always tried
    ],
)
def test_needed_words(expression: str, words: set[str] | None) -> None:
    assert (frozenset(words) if words else None) == needed_words(expression)


@settings(max_examples=300)
@given(
    st.recursive(
        st.sampled_from(["保", "本", "稳赚", "[亏赔]", ".", "[^,]{0,2}"]),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
            inner.map(lambda part: f"(?:{part})?"),
            inner.map(lambda part: f"(?:{part})+"),
        ),
        max_leaves=6,
    ),
    st.text(alphabet="保本稳赚亏赔,x", max_size=8),
)
def test_a_pattern_that_matches_is_always_a_candidate(expression: str, text: str) -> None:
    if re.search(expression, text):
        assert [0] == Prefilter([expression]).candidates(text)


def test_few_shipped_patterns_are_tried_on_every_text() -> None:
    engine = Engine(load_pack())
    assert engine.unfiltered_patterns <= 5
