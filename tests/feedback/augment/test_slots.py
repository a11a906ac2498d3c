"""An exchange of slots turns no label: what was stays past, what will be to come, and no fund becomes a stock."""

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.domain import Product, Turn
from feedback.augment.sources import sources
from feedback.corpus.seed import read_corpus
from feedback.labelled import LabelledTurn
from feedback.training.examples import judged
from tests.detectors.samples import message

SLOTS = sources()["slots"]
ROWS = judged(read_corpus())

# Said here a second time, so that a change of the data file is seen: every word with its own meaning of time.
PAST = ("去年", "上个月", "上周", "上季度")
FUTURE = ("明年", "下个月", "下周", "下季度")
EITHER = ("今年", "上半年", "下半年", "三季度", "年底", "前年", "后年", "昨天", "明天", "以来", "曾经")
TIMES = re.compile("|".join(sorted((*PAST, *FUTURE, *EITHER), key=len, reverse=True)))
# What other rules hold for than for a fund or a wealth product.
APART = re.compile("股|板块|行业|指数|存款|存单|国债|保险|年金|结构性|保底|信托|黄金|龙头|大盘")


def tenses(text: str) -> list[str]:
    return ["past" if word in PAST else "future" if word in FUTURE else word for word in TIMES.findall(text)]


def said(text: str, *, kind: str | None = None, number: int = 0) -> str:
    """The child of a message, or itself."""
    row = LabelledTurn(
        Turn(replace(message(text), product=Product(kind=kind) if kind else None)), frozenset()
    )
    made = SLOTS.children(row, random.Random(number))
    return made[0].turn.message.text if made else text


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_of_the_corpus_no_time_and_no_kind_of_product_is_turned(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(ROWS) - 1))
    seed = data.draw(st.integers())
    for row in ROWS[start : start + 400]:
        for new in SLOTS.children(row, random.Random(f"{seed}:{row.turn.message.message_id}")):
            before, after = row.turn.message.text, new.turn.message.text
            assert tenses(before) == tenses(after)
            assert APART.findall(before) == APART.findall(after)
            assert row.labels == new.labels


def test_every_corpus_row_with_a_past_or_future_word_keeps_its_tense() -> None:
    timed = [row for row in ROWS if TIMES.search(row.turn.message.text)]
    turned = [
        row.turn.message.text
        for row in timed
        for new in SLOTS.children(row, random.Random(row.turn.message.message_id))
        if tenses(row.turn.message.text) != tenses(new.turn.message.text)
    ]
    assert len(timed) > 1000
    assert [] == turned


@pytest.mark.parametrize(
    "text",
    [
        "今年涨了不少",  # may be past or to come
        "下半年能涨",
        "上半年跌了",
        "去年12月跌过",
        "去年涨过，上个月跌过",  # exchanged, they might trade places
        "我们行业不讲这个",
        "跟我们行长吃过饭",
        "半年报出来了",
        "这只还能再涨一倍吗这只是猜的",
        "那只能等等",
        "0%的费率",
    ],
)
def test_what_is_left_alone(text: str) -> None:
    assert {text} == {said(text, number=number).replace("那只还", "这只还") for number in range(20)}


@pytest.mark.parametrize("kind", ["stock", "insurance", "deposit", None])
def test_no_product_is_exchanged_where_other_rules_hold(kind: str | None) -> None:
    for number in range(20):
        assert "产品" in said("这款产品保证利率写在合同里", kind=kind, number=number)
        assert "产品" in said("这个产品很好", kind=kind, number=number)


def test_a_fund_becomes_another_product_but_no_stock() -> None:
    found = {said("这只基金去年跌过", kind="fund", number=number)[:-4] for number in range(60)}
    assert len(found) > 4
    assert not any("股" in text for text in found)


def test_one_word_is_exchanged_everywhere_it_stands() -> None:
    for number in range(20):
        assert "您" not in said("您看您方便吗，您定", number=number)


@given(st.integers(1, 98), st.integers(1, 98), st.integers())
def test_what_rose_still_rises_and_two_digits_stay_two(low: int, more: int, seed: int) -> None:
    high = min(99, low + more)
    text = said(f"从{low}%到{high}%", number=seed)
    shown = [int(figure) for figure in re.findall(r"\d+", text)]
    assert all(0 < figure < 100 for figure in shown)
    assert (shown[0] < shown[1]) == (low < high)
