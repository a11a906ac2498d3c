"""The shipped pack: every label covered, every example holds, every basis is in the law data."""

import pytest

from rules.engine import Engine
from rules.examples import check_rule
from rules.loader import load_pack
from rules.model import Rule

PACK = load_pack()
ENGINE = Engine(PACK)
LEAST_RULES = 6
LABELS = [
    "forbidden_term", "guaranteed_return", "implied_guarantee", "performance_forecast", "ranking_forecast",
    "unverified_claim", "security_or_sector_call", "yield_matching_promise", "risk_questionnaire_tampering", "sensitive_topic",
]  # fmt: skip


def test_the_catalogue_has_the_ten_labels() -> None:
    assert LABELS == list(PACK.catalogue.labels)


@pytest.mark.parametrize("label", LABELS)
def test_every_label_has_rules(label: str) -> None:
    assert LEAST_RULES <= sum(rule.label == label for rule in PACK.rules)


@pytest.mark.parametrize("rule", PACK.rules, ids=lambda rule: rule.id)
def test_every_example_of_every_rule_holds(rule: Rule) -> None:
    assert [] == [str(failure) for failure in check_rule(ENGINE, rule)]


@pytest.mark.parametrize("rule", PACK.rules, ids=lambda rule: rule.id)
def test_every_rule_has_examples_of_both_kinds_and_a_basis(rule: Rule) -> None:
    assert 3 <= len(rule.examples.flagged)
    assert 3 <= len(rule.examples.allowed)
    assert rule.basis or PACK.catalogue.labels[rule.label].basis
