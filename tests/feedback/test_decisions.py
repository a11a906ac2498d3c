"""Decisions, their audit chain, and what happens when two people decide at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Table, delete, insert, select, update

from detectors.domain import Turn, Verdict
from feedback.cases import CaseStatus, case_id_of, get_case, open_cases
from feedback.claims import claim
from feedback.decisions import decide, decided_cases, decision_history, last_decision, latest_decided, reopen
from feedback.errors import (
    CaseAlreadyDecided,
    CaseChanged,
    CaseClaimed,
    CaseNotDecided,
    CaseNotFound,
    InvalidDecision,
)
from feedback.snapshot import Snapshot, encode_snapshot, snapshot_digest
from feedback.store import tables
from feedback.store.audit import list_audit
from feedback.store.desk_store import DeskStore, open_desk_store
from feedback.store.verify import verify_audit
from streams.identity import verdict_key
from tests.desk_samples import seed_case_id

Pairs = list[tuple[Turn, Verdict]]
Fill = Callable[[DeskStore], Pairs]
Clock = Callable[[], datetime]
GUARANTEE = seed_case_id("conv-7101-04")
UNDECIDED = seed_case_id("conv-7106-03")


def test_confirming_takes_the_labels_of_the_verdict(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    decision = decide(store, GUARANTEE, "wang", "confirm", note=" 清楚 ", clock=clock)
    assert (("guaranteed_return",), "清楚", clock()) == (decision.labels, decision.note, decision.decided_at)
    assert CaseStatus.CONFIRMED is get_case(store, GUARANTEE).status
    assert decision == last_decision(store, GUARANTEE)


def test_dismissing_takes_none_and_relabelling_those_given(
    store: DeskStore, fill: Fill, clock: Clock
) -> None:
    fill(store)
    assert decide(store, GUARANTEE, "wang", "dismiss", clock=clock).labels == ()
    chosen = ["performance_forecast", "implied_guarantee"]
    assert tuple(sorted(chosen)) == decide(store, UNDECIDED, "wang", "relabel", chosen, clock=clock).labels
    assert CaseStatus.RELABELLED is get_case(store, UNDECIDED).status


@pytest.mark.parametrize(
    ("case_id", "action", "labels", "note", "reason"),
    [
        (GUARANTEE, "relabel", [], "", "no_labels"),
        (GUARANTEE, "relabel", ["guaranteed_return"], "", "same_labels"),
        (GUARANTEE, "relabel", ["no_such_label"], "", "unknown_label"),
        (GUARANTEE, "dismiss", ["guaranteed_return"], "", "labels_not_expected"),
        (GUARANTEE, "confirm", ["sensitive_topic"], "", "labels_not_expected"),
        (UNDECIDED, "confirm", [], "", "nothing_to_confirm"),
        (GUARANTEE, "close", [], "", "unknown_action"),
        (GUARANTEE, "dismiss", [], "长" * 2001, "note_too_long"),
    ],
)
def test_a_decision_that_says_nothing_is_refused(
    store: DeskStore,
    fill: Fill,
    clock: Clock,
    case_id: str,
    action: str,
    labels: list[str],
    note: str,
    reason: str,
) -> None:
    fill(store)
    before = len(list_audit(store))
    known = {"guaranteed_return", "sensitive_topic"}
    with pytest.raises(InvalidDecision) as refused:
        decide(store, case_id, "wang", action, labels, note, clock=clock, known_labels=known)
    assert reason == refused.value.reason
    assert CaseStatus.OPEN is get_case(store, case_id).status
    assert before == len(list_audit(store))


def test_the_second_to_decide_is_told_who_was_first(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    decide(store, GUARANTEE, "wang", "confirm", clock=clock)
    with pytest.raises(CaseAlreadyDecided) as refused:
        decide(store, GUARANTEE, "li", "dismiss", clock=clock)
    assert ("wang", clock()) == (refused.value.decided_by, refused.value.decided_at)
    assert CaseStatus.CONFIRMED is get_case(store, GUARANTEE).status


def test_of_many_who_decide_at_once_one_wins(
    store: DeskStore, store_url: str, fill: Fill, clock: Clock
) -> None:
    """Two stores are two processes."""
    fill(store)
    other = open_desk_store(store_url)

    def attempt(number: int) -> str:
        try:
            decide((store, other)[number % 2], GUARANTEE, f"reviewer-{number}", "confirm", clock=clock)
        except CaseAlreadyDecided:
            return "told"
        return "decided"

    try:
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(attempt, range(8)))
    finally:
        other.close()
    assert sorted(outcomes) == ["decided"] + ["told"] * 7
    assert len(decision_history(store, GUARANTEE)) == 1
    assert verify_audit(store).ok


def test_of_many_who_claim_at_once_one_wins(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)

    def attempt(number: int) -> bool:
        try:
            claim(store, GUARANTEE, f"reviewer-{number}", clock=clock)
        except CaseClaimed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_a_claimed_case_is_decided_by_its_claimant_only(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    claim(store, GUARANTEE, "wang", clock=clock)
    with pytest.raises(CaseClaimed):
        decide(store, GUARANTEE, "li", "confirm", clock=clock)
    decide(store, GUARANTEE, "wang", "confirm", clock=clock)


def test_what_was_not_shown_is_not_decided(store: DeskStore, fill: Fill, clock: Clock) -> None:
    turn, verdict = fill(store)[0]
    seen = get_case(store, GUARANTEE).digest
    newer = replace(verdict, findings=(), detected_at=verdict.detected_at + timedelta(hours=1))
    open_cases(store, [(turn, newer)], clock=clock)
    with pytest.raises(CaseChanged):
        decide(store, GUARANTEE, "wang", "confirm", clock=clock, shown=seen)


def test_a_withdrawn_decision_stays_in_the_history(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    decide(store, GUARANTEE, "wang", "dismiss", clock=clock)
    reopen(store, GUARANTEE, "li", note="看错了", clock=clock)
    assert CaseStatus.OPEN is get_case(store, GUARANTEE).status
    assert decided_cases(store) == []
    decide(store, GUARANTEE, "li", "confirm", clock=clock)
    assert [None, clock()] == [d.withdrawn_at for d in decision_history(store, GUARANTEE)]
    assert [decided.action for decided in decided_cases(store)] == ["confirm"]
    assert verify_audit(store).ok


def test_only_a_decided_case_is_opened_again(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    with pytest.raises(CaseNotDecided):
        reopen(store, GUARANTEE, "wang", clock=clock)
    with pytest.raises(CaseNotFound):
        reopen(store, "nope", "wang", clock=clock)


def test_the_dataset_gets_what_the_reviewer_saw(store: DeskStore, fill: Fill, clock: Clock) -> None:
    pairs = dict((turn.message.message_id, (turn, verdict)) for turn, verdict in fill(store))  # noqa: C402
    decide(store, GUARANTEE, "wang", "confirm", clock=clock)
    decide(store, UNDECIDED, "li", "relabel", ["implied_guarantee"], "类比存款", clock=clock)
    first, second = decided_cases(store)
    assert pairs["conv-7101-04"] == (first.turn, first.verdict)
    assert frozenset({"guaranteed_return"}) == first.labels
    assert ("li", frozenset({"implied_guarantee"}), "类比存款") == (
        second.reviewer,
        second.labels,
        second.note,
    )


def test_the_latest_decisions_are_read_as_they_are_asked_for(
    store: DeskStore, fill: Fill, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedback.decisions.READ_AT_ONCE", 2)
    ids = [seed_case_id(turn.message.message_id) for turn, _ in fill(store)]
    for case_id in ids[:-1]:
        decide(store, case_id, "wang", "dismiss", clock=clock)
    reopen(store, ids[2], "wang", clock=clock)
    with latest_decided(store) as found:
        assert ids[-2] == next(found).case_id
        decide(store, ids[-1], "li", "dismiss", clock=clock)
        assert [case_id for case_id in ids[-3::-1] if case_id != ids[2]] == [one.case_id for one in found]
    with latest_decided(store) as found:
        assert ids[-1] == next(found).case_id
    with latest_decided(store) as found:
        assert decided_cases(store) == list(found)[::-1]


def test_a_decision_survives_a_restart(store: DeskStore, store_url: str, fill: Fill, clock: Clock) -> None:
    fill(store)
    made = decide(store, GUARANTEE, "wang", "confirm", clock=clock)
    again = open_desk_store(store_url)
    try:
        assert made == last_decision(again, GUARANTEE)
        assert verify_audit(store) == verify_audit(again)
    finally:
        again.close()


def test_each_action_is_one_audit_entry(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    claim(store, GUARANTEE, "wang", clock=clock)
    decide(store, GUARANTEE, "wang", "confirm", clock=clock)
    reopen(store, GUARANTEE, "wang", clock=clock)
    trail = list_audit(store, case_id=GUARANTEE)
    assert [e.action for e in trail] == ["case_reopened", "case_confirmed", "case_shown", "case_opened"]
    assert [e.actor for e in trail] == ["wang", "wang", "wang", "system"]
    assert get_case(store, GUARANTEE).digest == trail[1].detail["shown"]


def _tampered(store: DeskStore, table: Table, row: int, **values: object) -> None:
    key = next(iter(table.primary_key.columns))
    with store.write() as connection:
        keys = connection.execute(select(key).order_by(key)).scalars().all()
        connection.execute(update(table).where(key == keys[row]).values(**values))


@pytest.mark.parametrize(
    ("table", "row", "values", "kind"),
    [
        (tables.audit, 3, {"actor": "somebody"}, "altered_entry"),
        (tables.audit, 3, {"detail": "{}"}, "altered_entry"),
        (tables.audit, 3, {"at": "2020-01-01T00:00:00.000000+00:00"}, "altered_entry"),
        (tables.audit, 3, {"previous_hash": "0" * 64}, "broken_link"),
        (tables.decisions, 0, {"action": "dismiss"}, "altered_decision"),
        (tables.decisions, 0, {"labels": '["sensitive_topic"]'}, "altered_decision"),
        (tables.decisions, 0, {"reviewer": "li"}, "altered_decision"),
        (tables.decisions, 0, {"note": "x"}, "altered_decision"),
        (tables.decisions, 0, {"snapshot": "{}"}, "altered_snapshot"),
        (tables.decisions, 0, {"audit_seq": 999}, "unrecorded_decision"),
        (tables.cases, 0, {"snapshot": "{}"}, "altered_snapshot"),
        (tables.cases, 0, {"status": "confirmed"}, "altered_status"),
        (tables.decisions, 0, {"withdrawn_at": datetime(2026, 3, 12, tzinfo=UTC)}, "altered_status"),
    ],
)
def test_tampering_is_found(
    store: DeskStore,
    fill: Fill,
    clock: Clock,
    table: Table,
    row: int,
    values: dict[str, object],
    kind: str,
) -> None:
    fill(store)
    decide(store, GUARANTEE, "wang", "confirm", clock=clock)
    assert verify_audit(store).ok
    _tampered(store, table, row, **values)
    assert kind in {problem.kind for problem in verify_audit(store).problems}


@pytest.mark.parametrize("rejudged", [False, True])
def test_an_open_case_that_shows_something_else_than_intake_recorded_is_found(
    store: DeskStore, fill: Fill, clock: Clock, rejudged: bool
) -> None:
    turn, verdict = fill(store)[0]
    newer = replace(verdict, priority=1, detected_at=verdict.detected_at + timedelta(hours=1))
    if rejudged:
        open_cases(store, [(turn, newer)], clock=clock)
    assert verify_audit(store).ok
    harmless = replace(turn, message=replace(turn.message, text="您好，明天见。"))
    text = encode_snapshot(Snapshot(harmless.message, harmless.before, newer))
    case_id = case_id_of(verdict_key(verdict))
    with store.write() as connection:
        shown = {"snapshot": text, "snapshot_digest": snapshot_digest(text)}
        connection.execute(update(tables.cases).where(tables.cases.c.case_id == case_id).values(**shown))
    assert [("altered_snapshot", case_id)] == [
        (problem.kind, problem.case_id) for problem in verify_audit(store).problems
    ]
    decide(store, case_id, "wang", "dismiss", clock=clock, shown=snapshot_digest(text))
    assert {"altered_snapshot"} == {problem.kind for problem in verify_audit(store).problems}


def test_a_case_that_intake_never_opened_is_found(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    with store.write() as connection:
        row = connection.execute(select(tables.cases).limit(1)).one()._asdict()
        connection.execute(insert(tables.cases).values({**row, "case_id": "slipped-in"}))
    assert [("unrecorded_case", "slipped-in")] == [
        (problem.kind, problem.case_id) for problem in verify_audit(store).problems
    ]


@pytest.mark.parametrize(("seq", "kind"), [(3, "missing_entry"), (8, "altered_head")])
def test_a_removed_entry_is_found_and_the_case_that_has_none(
    store: DeskStore, fill: Fill, clock: Clock, seq: int, kind: str
) -> None:
    fill(store)
    with store.write() as connection:
        connection.execute(delete(tables.audit).where(tables.audit.c.seq == seq))
    assert {kind, "unrecorded_case"} == {problem.kind for problem in verify_audit(store).problems}


@pytest.mark.parametrize(
    ("table", "kind"), [(tables.decisions, "missing_decision"), (tables.cases, "missing_case")]
)
def test_a_removed_decision_or_case_is_found(
    store: DeskStore, fill: Fill, clock: Clock, table: Table, kind: str
) -> None:
    fill(store)
    decide(store, GUARANTEE, "wang", "confirm", clock=clock)
    with store.write() as connection:
        connection.execute(delete(tables.case_facets).where(tables.case_facets.c.case_id == GUARANTEE))
        connection.execute(delete(tables.decisions))
        if table is tables.cases:
            connection.execute(delete(table).where(tables.cases.c.case_id == GUARANTEE))
    assert kind in {problem.kind for problem in verify_audit(store).problems}
