"""Normalisation: what it folds, and that every offset leads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.numerals import parse_number
from rules.text import NormalisedText, normalise

AWKWARD = st.sampled_from(
    [
        "保", "本", "證", "８", "％", "个点", "百分之", "六七", "两倍", "　", " ", "*", "·", "\u200b", "\u202e", "\ufe0f", "\u20e3",
        "👨\u200d👩\u200d👧", "💰", "\U00020bb7", "e\u0301", "ﬁ", "㍿", "①", "\x00", "\n", "ß", "İ", "년",
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("保*證８個點", "保证8%"),
        ("保\u200b本", "保本"),
        ("保 本 保 息", "保本保息"),
        ("不 会 亏您", "不会亏您"),
        ("验 证 码念给我", "验证码念给我"),
        ("保.本", "保本"),
        ("年化百分之八点五", "年化8.5%"),
        ("六七个点", "6-7%"),
        ("二十个百分点", "20%"),
        ("年息八厘", "年息8%"),
        ("翻两倍", "翻2倍"),
        ("8️⃣个点", "8%"),
        ("ＡＢＣ", "abc"),
        ("保̶本̶", "保本"),
    ],
)
def test_disguises_are_folded(written: str, plain: str) -> None:
    assert plain == normalise(written).text


@pytest.mark.parametrize(
    "text",
    [
        "第三个点评",
        "我八点钟到",
        "下午三个点钟",
        "一厘米",
        "买 100 份",
        "我们 保证 明天",
        "3.5元",
        "保 - 本",
        "2026-11-20",
    ],
)
def test_innocent_writings_stay(text: str) -> None:
    assert text == normalise(text).text


def test_a_figure_maps_to_its_whole_writing() -> None:
    text = normalise("能给到百分之八吗")
    start = text.text.index("8%")
    assert (3, 7) == text.original_span(start, start + 2)


def test_dropped_marks_belong_to_the_character_before() -> None:
    assert (0, 2) == normalise("保\u0336本").original_span(0, 1)


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        normalise("保本").original_span(1, 1)


@given(st.lists(AWKWARD | st.text(max_size=3), max_size=30).map("".join))
def test_offsets_always_lead_into_the_original(text: str) -> None:
    plain = normalise(text)
    assert len(plain.text) == len(plain.starts) == len(plain.ends)
    assert plain.original == text
    for index in range(len(plain.text)):
        start, end = plain.original_span(index, index + 1)
        assert 0 <= start < end <= len(text)
    assert list(plain.starts) == sorted(plain.starts)
    assert list(plain.ends) == sorted(plain.ends)


@given(st.lists(AWKWARD | st.text(max_size=3), max_size=30).map("".join))
def test_normalising_twice_changes_nothing_that_a_rule_sees(text: str) -> None:
    once = normalise(text).text
    assert normalise(once).text == normalise(normalise(once).text).text


@given(st.text(alphabet="保本证收益稳的吗您放心，。", max_size=40))
def test_plain_chinese_keeps_its_length(text: str) -> None:
    plain = normalise(text)
    assert len(text) == len(plain.text)
    assert all(plain.original_span(i, i + 1) == (i, i + 1) for i in range(len(text)))


def without_hiding_blanks(text: str) -> str:
    """Blanks between two characters go where one of the two stands alone."""
    kept = ""
    for place, char in enumerate(text):
        left, right = text[:place].rstrip(" "), text[place:].lstrip(" ")
        between = is_chinese(left[-1:]) and is_chinese(right[:1])
        alone = not is_chinese(left[-2:-1]) or not is_chinese(right[1:2])
        kept += "" if char == " " and between and alone else char
    return kept


def is_chinese(char: str) -> bool:
    return char in tuple("保本年息\U00020bb7")


@given(st.text(alphabet="保本年息\U00020bb7    a1，\n", max_size=30))
def test_a_blank_goes_only_where_it_cuts_off_a_single_character(text: str) -> None:
    assert without_hiding_blanks(text.replace("，", ",")) == normalise(text).text


def test_the_longest_message_of_cut_off_characters_is_joined() -> None:
    assert "保" * 9_999 + "保本" == normalise("保 " * 9_999 + "保本").text


@given(st.integers(1, 99))
def test_chinese_numerals_read_as_numbers(number: int) -> None:
    digits = "零一二三四五六七八九"
    tens, ones = divmod(number, 10)
    written = ("" if tens == 0 else ("" if tens == 1 else digits[tens]) + "十") + (
        digits[ones] if ones else ""
    )
    assert str(number) == parse_number(written)


def test_a_normalised_text_is_a_value() -> None:
    assert normalise("保本") == NormalisedText("保本", "保本", range(2), range(1, 3))
