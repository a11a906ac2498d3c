"""The prefilter may name too many patterns, never too few."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.loader import load_pack
from rules.needed_words import needs_of, written_words
from rules.prefilter import Prefilter


@pytest.mark.parametrize(
    ("expression", "lists"),
    [
        ("保本", [{"保本"}]),
        ("(?:亏了|赔了)[^,]{0,4}公司?补", [{"亏了", "赔了"}, {"公补", "公司补"}]),
        ("(?:保|稳)?赚钱", [{"赚钱"}]),
        ("[保包]本", [{"保本", "包本"}]),
        ("保本(?:的|息)?", [{"保本"}]),
        (r"至少\d+%", [{"至少"}, set("0123456789"), {"%"}]),
        ("(?:肯定|一定)(?:能)*赚", [{"肯定", "一定"}, {"赚"}]),
    ],
)
def test_an_expression_needs_a_word_of_every_list(expression: str, lists: list[set[str]]) -> None:
    (way,) = needs_of(expression) or ()
    assert {frozenset(words) for words in lists} == way.groups


@pytest.mark.parametrize("expression", [r"[^,]+", "(?:a|b*)", r"\p{Han}保本"])
def test_nothing_is_known_of_some_expressions(expression: str) -> None:
    """The last one is RE2's own syntax: Python's parser does not know it, so it is always tried."""
    assert needs_of(expression) is None


def test_alternatives_of_a_whole_expression_are_ways_of_their_own() -> None:
    ways = needs_of("(?:保本[^,]{0,3}的|稳赚)") or ()
    assert [{frozenset({"保本"}), frozenset({"的"})}, {frozenset({"稳赚"})}] == [
        set(way.groups) for way in ways
    ]


def test_a_short_reply_is_known_by_its_beginning_and_length() -> None:
    (way,) = needs_of("^(?:能|可以)(?:的)?[!。]{0,2}$") or ()
    assert frozenset("能可") == way.first
    assert 5 == way.longest


def test_every_written_word_is_named() -> None:
    words = written_words("(?:不会|不可能)亏(?:钱)?[^,]{0,4}(?:放心)?")
    assert {"不会", "不可能", "亏", "钱", "放心"} <= words
    assert {"不会亏", "不可能亏"} <= words


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
    st.sampled_from(["{}", "^{}", "^(?:{})$", "(?:{})$", "(?:{}|x保)"]),
)
def test_a_pattern_that_matches_is_always_a_candidate(body: str, text: str, frame: str) -> None:
    expression = frame.format(body)
    if re.search(expression, text):
        assert [0] == Prefilter([expression]).candidates(text)


def test_few_shipped_patterns_are_tried_on_a_text_without_any_of_their_words() -> None:
    expressions = [expression for rule in load_pack().rules for expression in rule.hits.expressions]
    assert len(Prefilter(expressions).candidates("ΩΩΩ")) <= 5


@settings(max_examples=200)
@given(
    st.sampled_from(["^保本", "本$", "^保?本$", "稳赚|^本", "(?:保|稳)+[^,]?赚"]),
    st.text(alphabet="保本稳赚,", min_size=1, max_size=8),
    st.integers(0, 7),
    st.integers(0, 8),
)
def test_a_filter_for_slices_never_misses_a_match_in_a_piece(
    expression: str, text: str, start: int, end: int
) -> None:
    if re.search(expression, text[start:end]):
        assert [0] == Prefilter([expression], slices=True).candidates(text)
