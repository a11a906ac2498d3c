"""The engine: hits with spans, and everything that may cancel one."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from rules.engine import Engine
from rules.loader import load_pack
from rules.model import Line, Scene

RULE_FILE = "rules/principal-is-safe.yaml"
TAIL = """
basis: ['LAW:1']
reason: 理由
examples: {flagged: [甲, 乙], allowed: [丙, 丁]}
"""


@pytest.fixture
def engine_of(write_pack: Callable[..., Path]) -> Callable[..., Engine]:
    def build(body: str, **files: str) -> Engine:
        text = f"id: principal-is-safe\nlabel: guaranteed_return\n{body}{TAIL}"
        return Engine(load_pack(write_pack({RULE_FILE: text, **files})))

    return build


def said(
    text: str, *, speaker: str = "advisor", before: list[tuple[str, str]] | None = None, **facts: object
) -> Scene:
    return Scene(Line(speaker, text), tuple(Line(who, what) for who, what in before or []), **facts)  # type: ignore[arg-type]


def spans(engine: Engine, scene: Scene) -> list[str]:
    return [scene.line.text[start:end] for hit in engine.hits(scene) for start, end in hit.spans]


def test_a_term_is_found_where_it_stands_in_the_original(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of("any: [{term: 保本}]")
    assert ["保本"] == spans(engine, said("这款👨‍👩‍👧保本的"))
    assert ["保*本"] == spans(engine, said("😂😂保*本的"))
    assert ["保\u200b證"] == spans(engine_of("any: [{term: 保证}]"), said("保\u200b證的"))


def test_a_customer_is_never_hit(engine_of: Callable[..., Engine]) -> None:
    assert [] == spans(engine_of("any: [{term: 保本}]"), said("保本吗", speaker="customer"))


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("保本", True),
        ("我们不保本", False),
        ("没有保本产品", False),
        ("不能承诺保本", False),
        ("不贵，保本", True),
        ("不用担心保本的", True),
        ("我们不保本，但另一款保本", True),
    ],
)
def test_negation_cancels_only_in_its_own_clause(
    engine_of: Callable[..., Engine], text: str, hit: bool
) -> None:
    assert hit == bool(spans(engine_of("any: [{term: 保本}]"), said(text)))


def test_unless_cancels_only_what_it_overlaps(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of("any: [{term: 保本}]\nunless: [{pattern: 保本微利店}]\nguards: []")
    assert [] == spans(engine, said("保本微利店开张"))
    assert ["保本"] == spans(engine, said("保本微利店开张，这款也保本"))


def test_near_matches_in_any_order_within_one_clause(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of("any: [{near: ['{certainty}', 赚], gap: 4}]\nguards: []")
    assert ["肯定能赚"] == spans(engine, said("肯定能赚"))
    assert ["赚那是一定"] == spans(engine, said("赚那是一定的"))
    assert [] == spans(engine, said("肯定，赚不赚看市场"))


def test_tokens_match_across_characters(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of(
        'any: [{tokens: [{TEXT: 保}, {IS_PUNCT: true, OP: "?"}, {TEXT: 本}], anchors: [本]}]\nguards: []'
    )
    assert ["保！本"] == spans(engine, said("保！本"))


CONTEXT = (
    "any: [{pattern: '^没问题'}]\nguards: []\ncontext: {customer_asks: [{pattern: '保证.*吗'}], within: 1}"
)


def test_context_needs_the_customers_question(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of(CONTEXT)
    assert ["没问题"] == spans(engine, said("没问题", before=[("customer", "能保证6%吗")]))
    assert [] == spans(engine, said("没问题", before=[("customer", "明天能到吗")]))
    assert [] == spans(engine, said("没问题", before=[("advisor", "能保证6%吗")]))
    assert [] == spans(
        engine, said("没问题", before=[("customer", "能保证6%吗"), ("customer", "算了，明天再说")])
    )


@pytest.mark.parametrize(
    ("day", "hit"),
    [
        (date(2025, 12, 31), False),
        (date(2026, 1, 1), True),
        (date(2026, 6, 30), True),
        (date(2026, 7, 1), False),
    ],
)
def test_a_message_is_judged_by_the_rule_of_its_day(
    engine_of: Callable[..., Engine], day: date, hit: bool
) -> None:
    engine = engine_of("any: [{term: 保本}]\neffective: {since: 2026-01-01, until: 2026-06-30}")
    assert hit == bool(engine.hits(said("保本", on=day)))


def test_product_kind_and_channel_restrict_a_rule(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of("any: [{term: 保本}]\nproduct_kinds: [fund]\nchannels: [wecom]")
    assert engine.hits(said("保本", product_kind="fund", channel="wecom"))
    assert engine.hits(said("保本"))  # unknown facts never excuse
    assert not engine.hits(said("保本", product_kind="deposit", channel="wecom"))


@pytest.mark.parametrize("status", ["draft", "retired"])
def test_a_rule_that_is_not_in_force_does_not_match(engine_of: Callable[..., Engine], status: str) -> None:
    assert not engine_of(f"any: [{{term: 保本}}]\nstatus: {status}").hits(said("保本"))


def test_what_cancelled_a_match_is_told(engine_of: Callable[..., Engine]) -> None:
    (cancelled,) = engine_of("any: [{term: 保本}]").examine(said("我们不保本")).cancelled
    assert ("negation", "不") == (cancelled.by, cancelled.because)


def test_twenty_thousand_characters_are_bounded(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of("any: [{pattern: '(保+)+本'}]\nguards: []")
    assert [] == spans(engine, said("保" * 20_000))


def test_an_empty_message_has_no_hits(engine_of: Callable[..., Engine]) -> None:
    assert () == engine_of("any: [{term: 保本}]").hits(said("\u200b"))
