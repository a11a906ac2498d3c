"""What the rule language says beyond words: order, nearness, values, scopes, readings, replies, places."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from rules.engine import Engine
from rules.errors import PackError
from rules.loader import load_pack
from rules.model import Line, Scene
from rules.schema import Reading

RULE_FILE = "rules/principal-is-safe.yaml"
TAIL = """
basis: ['LAW:1']
reason: 理由
examples: {flagged: [甲, 乙], allowed: [丙, 丁]}
"""

EngineOf = Callable[..., Engine]


@pytest.fixture
def engine_of(write_pack: Callable[..., Path]) -> EngineOf:
    def build(body: str, *, reading: Reading | None = None, **files: str) -> Engine:
        text = f"id: principal-is-safe\nlabel: guaranteed_return\nguards: []\n{body}{TAIL}"
        return Engine(load_pack(write_pack({RULE_FILE: text, **files}), reading=reading))

    return build


def spans(engine: Engine, text: str, *before: tuple[str, str], **facts: object) -> list[str]:
    scene = Scene(Line("advisor", text), tuple(Line(*line) for line in before), **facts)  # type: ignore[arg-type]
    return [text[start:end] for hit in engine.hits(scene) for start, end in hit.spans]


PROMISED_ABOVE_SIX = "any: [{sequence: ['{certainty}', {figure: {above: 6}}], gap: 6}]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("肯定有八个点", ["肯定有八个点"]),
        ("一定能到６.5％", ["一定能到６.5％"]),
        ("肯定有6%", []),
        ("肯定有0.8%", []),
        ("肯定有16%", ["肯定有16%"]),
        ("肯定5-8%", ["肯定5-8%"]),
        ("8%肯定有", []),
        ("肯定，8%", []),
    ],
)
def test_a_promised_return_above_six_per_cent_is_one_rule(
    engine_of: EngineOf, text: str, expected: list[str]
) -> None:
    assert expected == spans(engine_of(PROMISED_ABOVE_SIX), text)


def test_a_figure_alone_is_highlighted_without_what_stands_before(engine_of: EngineOf) -> None:
    engine = engine_of("any: [{figure: {below: 3}}]")
    assert ["2.5%"] == spans(engine, "利率2.5%")
    assert [] == spans(engine, "利率12.5%")
    assert ["1%"] == spans(engine, "1%")


def test_near_takes_figures_in_any_order(engine_of: EngineOf) -> None:
    engine = engine_of("any: [{near: ['{certainty}', {figure: {at_least: 8}}], gap: 4}]")
    assert ["8%肯定"] == spans(engine, "年化8%肯定有")
    assert ["肯定有8%"] == spans(engine, "肯定有8%")
    assert [] == spans(engine, "7%肯定有")


def test_a_sequence_may_span_a_sentence(engine_of: EngineOf) -> None:
    clause = "any: [{sequence: [亏了, 我, 补], gap: 6}]"
    assert [] == spans(engine_of(clause), "亏了，算我的，我补")
    assert ["亏了，算我的，我补"] == spans(
        engine_of(clause.replace("gap: 6", "gap: 6, scope: sentence")), "亏了，算我的，我补"
    )
    assert [] == spans(engine_of(clause.replace("gap: 6", "gap: 6, scope: sentence")), "亏了。我补")


@pytest.mark.parametrize(
    ("scope", "cancelled"),
    [
        ("clause", {"存单保本"}),
        ("sentence", {"存单保本", "存单，保本"}),
        ("message", {"存单保本", "存单，保本", "存单。保本"}),
    ],
)
def test_an_exception_reaches_as_far_as_its_scope(
    engine_of: EngineOf, scope: str, cancelled: set[str]
) -> None:
    engine = engine_of(f"any: [{{term: 保本}}]\nunless: [{{term: 存单, scope: {scope}}}]")
    texts = {"存单保本", "存单，保本", "存单。保本"}
    assert cancelled == {text for text in texts if not spans(engine, text)}


def test_an_exception_without_scope_must_overlap(engine_of: EngineOf) -> None:
    engine = engine_of("any: [{term: 保本}]\nunless: [{term: 保本微利店}]")
    assert ["保本"] == spans(engine, "保本微利店旁边这款保本")


def test_an_item_has_exceptions_of_its_own(engine_of: EngineOf) -> None:
    engine = engine_of("any: [{term: 保本, unless: [{term: 存单, scope: clause}]}, {term: 兜底}]")
    assert [] == spans(engine, "存单保本")
    assert ["兜底"] == spans(engine, "存单兜底")


REPLY = """
any: [{reply: nod}]
context: {customer_asks: [{pattern: '保本.*吗'}], within: 2, direct: true}
"""
YES = {
    "lexicons/nod.yaml": "description: 肯定\nwords: [没问题, 能, 对]\n",
    "lexicons/nod_tail.yaml": "description: 语气\nwords: [的, 啊]\n",
}


@pytest.mark.parametrize(
    ("reply", "hit"),
    [
        ("没问题", True),
        ("能的，您放心", True),
        ("对对", True),
        ("能看合同吗", False),
        ("对不起，不能", False),
    ],
)
def test_a_bare_yes_answers_the_question(engine_of: EngineOf, reply: str, hit: bool) -> None:
    assert hit == bool(spans(engine_of(REPLY, **YES), reply, ("customer", "这个保本吗")))


def test_a_direct_answer_has_nothing_between(engine_of: EngineOf) -> None:
    engine = engine_of(REPLY, **YES)
    assert [] == spans(engine, "没问题", ("customer", "保本吗"), ("advisor", "不保本"))
    assert [] == spans(engine, "没问题")
    assert ["没问题"] == spans(engine, "没问题", ("customer", "保本吗"), ("customer", "在吗"))


@pytest.mark.parametrize(("reading", "hit"), [("standard", False), ("strict", True), (None, False)])
def test_an_exception_may_hold_in_one_reading_only(
    engine_of: EngineOf, reading: Reading | None, hit: bool
) -> None:
    engine = engine_of(
        "any: [{term: 涨}]\nunless: [{term: 研报, scope: message, reading: standard}]", reading=reading
    )
    assert hit == bool(spans(engine, "研报说能涨"))
    assert spans(engine, "能涨")


@pytest.mark.parametrize("level", ["rule", "item"])
def test_a_rule_or_item_may_belong_to_the_strict_reading(engine_of: EngineOf, level: str) -> None:
    body = {
        "rule": "reading: strict\nany: [{term: 涨}]",
        "item": "any: [{term: 跌}, {term: 涨, reading: strict}]",
    }
    assert [] == spans(engine_of(body[level]), "涨")
    assert ["涨"] == spans(engine_of(body[level], reading="strict"), "涨")


def test_the_reading_is_part_of_the_hash(write_pack: Callable[..., Path]) -> None:
    path = write_pack()
    assert load_pack(path).hash != load_pack(path, reading="strict").hash


def test_jurisdiction_restricts_a_rule(engine_of: EngineOf) -> None:
    engine = engine_of("any: [{term: 保本}]\njurisdictions: [us, uk]")
    assert spans(engine, "保本", jurisdiction="us")
    assert spans(engine, "保本")  # unknown facts never excuse
    assert not spans(engine, "保本", jurisdiction="hk")


def test_a_guard_may_hold_for_kinds_of_product_only(engine_of: EngineOf) -> None:
    guards = "guards:\n  contract: {description: 合同事实, product_kinds: [insurance], sentence: [合同]}\n"
    rule = f"id: principal-is-safe\nlabel: guaranteed_return\nany: [{{term: 保底}}]{TAIL}"
    engine = engine_of("", **{"guards.yaml": guards, RULE_FILE: rule})
    assert not spans(engine, "保底写在合同里", product_kind="insurance")
    assert spans(engine, "保底写在合同里", product_kind="fund")
    assert spans(engine, "保底写在合同里")  # unknown facts never excuse
    assert spans(engine, "保底的", product_kind="insurance")


def test_a_rule_begins_with_the_first_law_that_it_cites(engine_of: EngineOf) -> None:
    legal = "instruments:\n  LAW: {title: 某, issuer: 某, in_force: 2026-09-30, articles: {'1': {says: 不得, mark: A}}}\n"
    engine = engine_of("any: [{term: 保本}]", **{"legal.yaml": legal})
    assert not spans(engine, "保本", on=date(2026, 9, 29))
    assert spans(engine, "保本", on=date(2026, 9, 30))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("any: [{sequence: [保本]}]", "at least 2 items"),
        ("any: [{figure: {above: 6, unit: kilo}}]", "'kilo' is not allowed here"),
        ("any: [{figure: {above: 6, at_least: 7}}]", "not both"),
        ("any: [{sequence: [甲, {figure: {above: 1, below: 9000}}]}]", "lie too far apart"),
        ("any: [{reply: shrug}]", "unknown lexicon 'shrug'"),
        ("any: [{term: 保本}, {pattern: 保本}]", "the same expression is given twice"),
        (
            "any: [{term: 保本, unless: [{term: 甲, pattern: 乙}]}]",
            "give exactly one of term, pattern, lexicon",
        ),
        ("any: [{tokens: [{TEXT: 保}], anchors: [保], unless: [{term: 甲}]}]", "no exceptions of its own"),
        ("any: [{term: 保本}]\nareas: [moon]", "unknown area 'moon'"),
        ("any: [{tokens: [{POS: NOUN}], anchors: [保]}]", "token 1: unknown attribute 'POS'"),
        ("any: [{tokens: [{TEXT: 保}, {TEXT: 本, OP: twice}], anchors: [保]}]", "token 2: OP cannot be"),
        ("any: [{tokens: [{TEXT: {REGEX: '(a+)+$'}}], anchors: [a]}]", "token 1: TEXT cannot be"),
        ("any: [{tokens: [{IS_ALPHA: 'no'}], anchors: [保]}]", "token 1: IS_ALPHA cannot be"),
        ("any: [{tokens: [{TEXT: 保本}], anchors: [保]}]", "'保本' is never one token"),
        ("any: [{tokens: [{TEXT: {IN: [Ａ]}}], anchors: [a]}]", "'Ａ' never stands so"),
    ],
)
def test_misuse_is_told(engine_of: EngineOf, body: str, words: str) -> None:
    with pytest.raises(PackError, match=words):
        engine_of(body)
