"""The shipped packs: every label covered, every example holds, every basis is in the law data."""

from functools import lru_cache

import pytest

from rules.engine import Engine
from rules.examples import check_rule
from rules.lint import lint_pack
from rules.loader import builtin_pack_path, builtin_packs, load_pack
from rules.model import Line, Pack, Rule, Scene
from rules.schema import Reading

LEAST_RULES = 6
LABELS = [
    "forbidden_term", "guaranteed_return", "implied_guarantee", "performance_forecast", "ranking_forecast",
    "unverified_claim", "security_or_sector_call", "yield_matching_promise", "risk_questionnaire_tampering", "sensitive_topic",
]  # fmt: skip
AREAS = ["fund_sales", "wealth_management", "securities_advice", "insurance", "private_funds", "conduct"]
LEAST_RULES_OF_AN_AREA = 12
CN = load_pack()
RULES = [(name, rule) for name in builtin_packs() for rule in load_pack(builtin_pack_path(name)).rules]


@lru_cache(maxsize=4)
def pack_of(name: str, reading: Reading | None = None) -> Pack:
    return load_pack(builtin_pack_path(name), reading=reading)


@lru_cache(maxsize=4)
def engine_of(name: str, reading: Reading | None = None) -> Engine:
    return Engine(pack_of(name, reading))


@pytest.mark.parametrize("name", builtin_packs())
def test_a_shipped_pack_has_no_lint(name: str) -> None:
    assert name == lint_pack(builtin_pack_path(name)).catalogue.jurisdiction


@pytest.mark.parametrize("name", builtin_packs())
def test_the_catalogue_has_the_ten_labels(name: str) -> None:
    assert LABELS == list(pack_of(name).catalogue.labels)


@pytest.mark.parametrize("label", LABELS)
def test_every_label_has_rules(label: str) -> None:
    assert LEAST_RULES <= sum(rule.label == label for rule in CN.rules)


@pytest.mark.parametrize("area", AREAS)
def test_every_area_of_business_has_rules(area: str) -> None:
    assert LEAST_RULES_OF_AN_AREA <= sum(area in rule.areas for rule in CN.rules)


@pytest.mark.parametrize(("name", "rule"), RULES, ids=lambda value: getattr(value, "id", value))
def test_every_example_of_every_rule_holds(name: str, rule: Rule) -> None:
    engine = engine_of(name, rule.reading)
    if rule.status not in ("live", "shadow"):
        pytest.skip("not in force; 'redline rules test' tries it")
    assert [] == [str(failure) for failure in check_rule(engine, rule)]


SOURCED = "研报里给的中性情形是全年3%-5%，只是一种可能，也可能亏"


@pytest.mark.parametrize(("reading", "flagged"), [("standard", False), ("strict", True)])
def test_a_sourced_and_hedged_forecast_passes_in_the_standard_reading_only(
    reading: Reading, flagged: bool
) -> None:
    assert flagged == bool(engine_of("cn", reading).hits(Scene(Line("advisor", SOURCED))))


@pytest.mark.parametrize("reading", ["standard", "strict"])
@pytest.mark.parametrize(
    "text",
    [
        "截至9月30日近一年收益5.2%，数据来源Wind",
        "这只基金业绩稳健，近三年同类排名前10%，数据来自海通证券评级，截至2026年6月30日",
        "该基金成立以来业绩稳健",
        "近三年业绩名列前茅，排名机构和日期在宣传页第二页",
    ],
)
def test_words_that_need_evidence_and_past_facts_are_no_hit_by_themselves(
    reading: Reading, text: str
) -> None:
    assert () == engine_of("cn", reading).hits(Scene(Line("advisor", text)))


def test_one_engine_serves_both_languages() -> None:
    """Rules of one language do not hit the other's text."""
    english, chinese = "Your capital is guaranteed", "这款保本，您放心"
    assert engine_of("en").hits(Scene(Line("advisor", english)))
    assert not engine_of("en").hits(Scene(Line("advisor", chinese)))
    assert engine_of("cn").hits(Scene(Line("advisor", chinese)))
    assert not engine_of("cn").hits(Scene(Line("advisor", english)))
