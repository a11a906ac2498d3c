"""Hostile text is bounded: it ends in a verdict or in `undecided`, soon, and harms no neighbour."""

import pytest

from detectors.cascade import Cascade
from detectors.domain import Outcome
from detectors.rule_detector import RuleDetector
from rules.engine import Engine
from rules.loader import load_pack
from rules.model import Line, Scene
from rules.numerals import find_figures
from rules.text import normalise
from tests.detectors.samples import AT, VERSIONS, turn

PACK = load_pack()
CASCADE = Cascade([RuleDetector(Engine(PACK))], PACK.catalogue, VERSIONS, lambda: AT)
LONGEST = 20_000


@pytest.mark.parametrize(
    "text", ["收益٣%", "收益೭%", "一" * 5000 + "%", "1" * 5000 + "%", "百" * 300 + "个点", "9" * 400 + ".9%"]
)
def test_odd_numerals_do_not_stop_anything(text: str) -> None:
    list(find_figures(text))
    assert normalise(text).original == text


def test_one_text_does_not_change_the_verdict_on_its_neighbours() -> None:
    promise = turn("这款产品保本保收益，年化8%")
    alone = CASCADE.judge([promise])[0].findings
    assert alone
    strange = ["收益٣%", "保本保收益" * 4000, "\ud7ff" * 50, "1" * LONGEST]
    together = CASCADE.judge(
        [*(turn(text, speaker="customer") for text in strange), *map(turn, strange), promise]
    )
    assert alone == together[-1].findings


@pytest.mark.parametrize(
    "piece", ["保本保收益", "1", "一", "保", "不保本，", "保 本 ", "您说的", "(", "亏了我补。"]
)
def test_the_longest_message_is_never_clean_by_exhaustion(piece: str) -> None:
    (verdict,) = CASCADE.judge([turn((piece * LONGEST)[:LONGEST])])
    if piece in ("保本保收益", "亏了我补。"):
        assert verdict.outcome in (Outcome.FLAGGED, Outcome.UNDECIDED)


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\u2028", "。", "~", "，", "；", " "])
def test_a_disclaimer_does_not_cancel_the_promise_after_it(separator: str) -> None:
    (verdict,) = CASCADE.judge([turn(f"别家不承诺保本{separator}这只产品保本保收益")])
    assert verdict.flagged


def test_a_long_text_has_the_hits_of_its_parts() -> None:
    engine = Engine(PACK)
    quiet = "周三下午带身份证来柜台，资料我提前备好，有变动再跟您说。" * 70
    for promise in ("这只产品保本保息。", "今年肯定进同类前十。", "我给您私下签个协议。"):
        (short,), (long,) = (
            [
                {
                    hit.rule.id: [text[start:end] for start, end in hit.spans]
                    for hit in engine.hits(Scene(Line("advisor", text), ()))
                }
            ]
            for text in (promise, quiet + promise)
        )
        assert short
        assert short == long
