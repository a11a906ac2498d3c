"""A report about others is passed over; a promise of one's own in the same sentence is not."""

import pytest

from rules.engine import Engine
from rules.loader import load_pack
from rules.model import Line, Scene

ENGINE = Engine(load_pack())
OWN_PROMISES = [
    "据媒体报道央行马上降准，这只债基稳赚不赔",
    "据我们公司公告，这只产品保证年化8%",
    "招股书里写得明明白白，保本保息，您放心",
    "监管发现不了的，您把钱转到我私人账户，保本保息",
    "这又不涉嫌违规，我们产品保本保息",
    "监管查处的都是小平台，我们这里保本保息",
    "某平台承诺6%，我给您8%保本保息",
    "这笔钱连法院都查封不了，保本保息",
    "我们又不是诈骗，也不跑路，这款保本",
    "记者都采访过我们，这款保本保息",
]
REPORTS = [
    "据警方通报，该平台以保本保息为诱饵，涉及三百多名投资人",
    "法院审理查明，被告人向亲友承诺保本，月息两分",
    "记者从经侦支队获悉，涉案公司对外宣称稳赚不赔",
]


@pytest.mark.parametrize("text", OWN_PROMISES)
def test_a_promise_beside_a_report_is_found(text: str) -> None:
    assert ENGINE.hits(Scene(Line("advisor", text), ()))


@pytest.mark.parametrize("text", REPORTS)
def test_a_report_about_others_is_silent(text: str) -> None:
    assert not ENGINE.hits(Scene(Line("advisor", text), ()))
