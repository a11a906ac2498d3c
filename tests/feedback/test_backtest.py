"""A backtest says what a candidate pack would add and remove, and how right both packs are where people decided."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from detectors.domain import Message, Speaker, Turn
from feedback.backtest import Backtest, Decisions, backtest
from rules.engine import Engine
from rules.loader import load_pack, with_rules
from rules.schema import RuleStatus
from streams.identity import message_key

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
PACK = load_pack()
CAPITAL, SURE = PACK.rule("principal-is-safe"), PACK.rule("surely-earns-money")
SAYS_CAPITAL, SAYS_SURE, SAYS_NOTHING = "这款保本，您放心", "这只稳赚，您别犹豫了", "资料明天发您"


def engine(*statuses: tuple[str, RuleStatus]) -> Engine:
    return Engine(
        with_rules(PACK, [replace(PACK.rule(rule_id), status=status) for rule_id, status in statuses])
    )


def turn(number: int, text: str, speaker: Speaker = Speaker.ADVISOR) -> Turn:
    return Turn(Message(f"m{number}", "c1", AT + timedelta(seconds=number), speaker, text))


TURNS = [
    turn(1, SAYS_CAPITAL),
    turn(2, SAYS_SURE),
    turn(3, SAYS_NOTHING),
    turn(4, SAYS_CAPITAL, Speaker.CUSTOMER),
]
RUNNING = engine((CAPITAL.id, "live"), (SURE.id, "shadow"))
CANDIDATE = engine((CAPITAL.id, "draft"), (SURE.id, "live"))


def run(decisions: Decisions | None = None) -> Backtest:
    return backtest(TURNS, RUNNING, CANDIDATE, decisions or {})


def test_hits_added_and_removed_are_counted_and_named() -> None:
    result = run()
    assert (3, 0) == (result.messages, result.undecided)  # customers are passed over
    assert (1, 1) == (result.before.flagged, result.after.flagged)
    assert [CAPITAL.id, SURE.id] == list(result.changed_rules())
    assert (1, 0, 0, 1) == (
        result.rules[CAPITAL.id].before,
        result.rules[CAPITAL.id].after,
        result.rules[CAPITAL.id].added,
        result.rules[CAPITAL.id].removed,
    )
    first, second = result.changes
    assert ("m1", ["principal-is-safe"]) == (first.message.message_id, [hit.rule_id for hit in first.removed])
    assert ("m2", ["稳赚"]) == (
        second.message.message_id,
        [e.text for hit in second.added for e in hit.evidence],
    )


def test_the_same_pack_changes_nothing() -> None:
    result = backtest(TURNS, RUNNING, RUNNING, {})
    assert ([], {}) == (result.changes, result.changed_rules())


@pytest.mark.parametrize(
    ("labels", "before", "after"),
    [
        ((frozenset({CAPITAL.label}), frozenset({SURE.label})), 1.0, 1.0),
        ((frozenset({CAPITAL.label}), frozenset()), 1.0, 0.0),  # dismissed
        ((frozenset({"sensitive_topic"}), None), 0.0, None),  # another label; nobody decided
    ],
)
def test_precision_is_what_people_agreed_with(
    labels: tuple[frozenset[str] | None, ...], before: float, after: float | None
) -> None:
    decisions = {
        message_key(each.message): decided
        for each, decided in zip(TURNS, labels, strict=False)
        if decided is not None
    }
    result = run(decisions)
    assert (before, after) == (result.before.precision, result.after.precision)


def test_a_message_that_takes_too_long_is_undecided() -> None:
    endless = turn(5, "保本，" * 6000)
    result = backtest([endless], RUNNING, CANDIDATE, {})
    assert (1, 1) == (result.messages, result.undecided)
