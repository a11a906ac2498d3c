"""Opening, listing and counting cases, on SQLite and PostgreSQL alike."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from detectors.domain import Outcome, Source, Turn, Verdict
from feedback.cases import (
    CaseFilter,
    CaseStatus,
    count_cases,
    count_matching,
    get_case,
    list_cases,
    open_cases,
    sibling_cases,
)
from feedback.claims import CLAIM_TTL, claim, claim_next, note_reading, release
from feedback.decisions import decide
from feedback.errors import CaseClaimed, CaseNotFound, DeskStoreError
from feedback.store.audit import list_audit
from feedback.store.desk_store import DeskStore, open_desk_store
from tests.desk_samples import seed_case_id

Pairs = list[tuple[Turn, Verdict]]
Fill = Callable[[DeskStore], Pairs]
Clock = Callable[[], datetime]


class MovableClock(Protocol):
    """The `clock` fixture, for tests that let time pass."""

    now: datetime

    def __call__(self) -> datetime: ...

    def forward(self, **by: float) -> None: ...


SOME_LABEL = "risk_questionnaire_tampering"


def test_a_case_shows_exactly_what_was_judged(store: DeskStore, fill: Fill) -> None:
    for turn, verdict in fill(store):
        case = get_case(store, seed_case_id(turn.message.message_id))
        assert turn == case.snapshot.turn
        assert verdict == case.snapshot.verdict


def test_cases_survive_a_restart(store_url: str, store: DeskStore, fill: Fill) -> None:
    pairs = fill(store)
    again = open_desk_store(store_url)
    try:
        assert len(pairs) == count_matching(again, CaseFilter())
    finally:
        again.close()


def test_opening_twice_opens_once(store: DeskStore, fill: Fill, pairs: Pairs, clock: Clock) -> None:
    fill(store)
    assert open_cases(store, pairs, clock=clock) == 0
    assert count_matching(store, CaseFilter()) == 8
    assert len(list_audit(store)) == 8


def test_a_clean_verdict_opens_nothing(store: DeskStore, pairs: Pairs, clock: Clock) -> None:
    turn, verdict = pairs[0]
    clean = replace(verdict, outcome=Outcome.CLEAN, findings=(), queue_reasons=())
    assert open_cases(store, [(turn, clean)], clock=clock) == 0


def test_a_clean_verdict_that_somebody_should_sample_opens_a_case(
    store: DeskStore, pairs: Pairs, clock: Clock
) -> None:
    turn, verdict = pairs[0]
    sampled = replace(verdict, outcome=Outcome.CLEAN, findings=(), queue_reasons=("sampled",))
    assert open_cases(store, [(turn, sampled)], clock=clock) == 1


def test_a_newer_verdict_replaces_what_an_open_case_shows(store: DeskStore, fill: Fill, clock: Clock) -> None:
    turn, verdict = fill(store)[0]
    newer = replace(verdict, priority=10, findings=(), detected_at=verdict.detected_at + timedelta(hours=1))
    assert open_cases(store, [(turn, newer)], clock=clock) == 0
    case = get_case(store, seed_case_id(verdict.message_id))
    assert newer == case.snapshot.verdict
    assert list_audit(store, case_id=case.case_id)[0].action == "case_rejudged"
    assert count_cases(store, CaseFilter()).by_label["guaranteed_return"] == 1


def test_an_older_verdict_changes_nothing(store: DeskStore, fill: Fill, clock: Clock) -> None:
    turn, verdict = fill(store)[0]
    older = replace(verdict, priority=10, detected_at=verdict.detected_at - timedelta(hours=1))
    open_cases(store, [(turn, older)], clock=clock)
    assert verdict == get_case(store, seed_case_id(verdict.message_id)).snapshot.verdict


def test_what_the_judge_flagged_stays_when_the_message_is_judged_again(
    store: DeskStore, fill: Fill, clock: Clock
) -> None:
    turn, first = fill(store)[0]
    hour = timedelta(hours=1)
    by_judge = tuple(replace(each, sources=(Source("judge", "m", "1"),)) for each in first.findings)
    amended = replace(first, findings=by_judge, detected_at=first.detected_at - hour)
    again = replace(first, outcome=Outcome.UNDECIDED, findings=(), detected_at=first.detected_at + hour)
    assert 0 == open_cases(store, [(turn, amended), (turn, again)], clock=clock)
    assert amended == get_case(store, seed_case_id(first.message_id)).snapshot.verdict


def test_a_decided_case_keeps_what_its_reviewer_saw(store: DeskStore, fill: Fill, clock: Clock) -> None:
    turn, verdict = fill(store)[0]
    case_id = seed_case_id(verdict.message_id)
    decide(store, case_id, "wang", "confirm", clock=clock)
    newer = replace(verdict, priority=1, detected_at=verdict.detected_at + timedelta(days=1))
    open_cases(store, [(turn, newer)], clock=clock)
    assert verdict == get_case(store, case_id).snapshot.verdict


def test_the_most_urgent_case_comes_first(store: DeskStore, fill: Fill) -> None:
    fill(store)
    shown = [case.snapshot.verdict.priority for case in list_cases(store, CaseFilter())]
    assert shown == [96, 94, 93, 91, 78, 72, 64, 55]


def test_filters_and_counts_agree(store: DeskStore, fill: Fill) -> None:
    fill(store)
    counts = count_cases(store, CaseFilter())
    assert counts.by_status == {"open": 8}
    for label, number in counts.by_label.items():
        assert (
            number
            == count_matching(store, CaseFilter(label=label))
            == len(list_cases(store, CaseFilter(label=label)))
        )
    for reason, number in counts.by_reason.items():
        assert number == count_matching(store, CaseFilter(reason=reason))
    both = CaseFilter(label="unverified_claim", reason="disagreement")
    assert count_matching(store, both) == 1
    assert count_cases(store, CaseFilter(reason="disagreement")).by_label == {
        "unverified_claim": 1,
        "security_or_sector_call": 1,
    }


def test_pages_do_not_overlap(store: DeskStore, fill: Fill) -> None:
    fill(store)
    pages = [list_cases(store, CaseFilter(), limit=3, offset=offset) for offset in (0, 3, 6)]
    assert len({case.case_id for page in pages for case in page}) == 8


def test_cases_of_one_conversation_know_each_other(store: DeskStore, fill: Fill) -> None:
    fill(store)
    case = get_case(store, seed_case_id("conv-7102-03"))
    assert {"conv-7102-05"} == set(sibling_cases(store, case))


def test_an_unknown_case_is_not_found(store: DeskStore, clock: Clock) -> None:
    for action in (
        lambda: get_case(store, "nope"),
        lambda: claim(store, "nope", "wang", clock=clock),
        lambda: release(store, "nope", "wang", clock=clock),
        lambda: note_reading(store, "nope", "wang", clock=clock),
    ):
        with pytest.raises(CaseNotFound):
            action()


def test_odd_ids_and_texts_are_kept(store: DeskStore, pairs: Pairs, clock: Clock) -> None:
    """NUL does not fit into a PostgreSQL text by itself."""
    turn, verdict = pairs[0]
    message = replace(
        turn.message,
        message_id="a/../?b=<c>#",
        conversation_id="c d 会话😀",
        sent_at=datetime(1971, 1, 1, tzinfo=UTC),
        text="\x00保本",
    )
    odd = replace(
        verdict, message_id=message.message_id, conversation_id=message.conversation_id, findings=()
    )
    assert open_cases(store, [(Turn(message), odd)], clock=clock) == 1
    assert message == list_cases(store, CaseFilter())[0].snapshot.message


def test_a_claim_keeps_others_out_until_it_runs_out(
    store: DeskStore, fill: Fill, clock: MovableClock
) -> None:
    fill(store)
    case_id = seed_case_id("conv-7101-04")
    assert claim(store, case_id, "wang", clock=clock).claimed_by == "wang"
    with pytest.raises(CaseClaimed) as refused:
        claim(store, case_id, "li", clock=clock)
    assert ("wang", clock.now + CLAIM_TTL) == (refused.value.claimed_by, refused.value.until)
    clock.forward(minutes=9)
    claim(store, case_id, "wang", clock=clock)
    clock.forward(minutes=9)
    with pytest.raises(CaseClaimed):
        claim(store, case_id, "li", clock=clock)
    clock.forward(minutes=2)
    assert claim(store, case_id, "li", clock=clock).claimed_by == "li"


def test_keeping_a_claim_leaves_one_audit_entry(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    case_id = seed_case_id("conv-7101-04")
    for _ in range(3):
        claim(store, case_id, "wang", clock=clock)
    shown = [e for e in list_audit(store, case_id=case_id) if e.action == "case_shown"]
    assert len(shown) == 1
    assert get_case(store, case_id).digest == shown[0].detail["shown"]
    versions = shown[0].detail["versions"]
    assert isinstance(versions, dict)
    assert versions["pack"] == "cn-pack-7f3a91"


def test_next_passes_over_what_others_work_on(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    first = claim_next(store, CaseFilter(), "wang", clock=clock)
    second = claim_next(store, CaseFilter(), "li", clock=clock)
    assert first is not None
    assert second is not None
    assert [c.snapshot.message.message_id for c in (first, second)] == ["conv-7101-04", "conv-7102-03"]


def test_skipping_goes_through_the_whole_queue(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    case = claim_next(store, CaseFilter(), "wang", clock=clock)
    seen = []
    for _ in range(8):
        assert case is not None
        seen.append(case.case_id)
        release(store, case.case_id, "wang", clock=clock)
        case = claim_next(store, CaseFilter(), "wang", clock=clock, after=case)
    assert len(set(seen)) == 8
    assert case is not None
    assert seen[0] == case.case_id


def test_next_keeps_to_the_filter(store: DeskStore, fill: Fill, clock: Clock) -> None:
    fill(store)
    wanted = CaseFilter(label=SOME_LABEL)
    first = claim_next(store, wanted, "wang", clock=clock)
    assert first is not None
    second = claim_next(store, wanted, "wang", clock=clock, after=first)
    assert second is not None
    assert {"conv-7102-03", "conv-7102-05"} == {c.snapshot.message.message_id for c in (first, second)}
    decide(store, first.case_id, "wang", "confirm", clock=clock)
    decide(store, second.case_id, "wang", "confirm", clock=clock)
    assert claim_next(store, wanted, "wang", clock=clock, after=second) is None


def test_decided_cases_are_listed_latest_first(store: DeskStore, fill: Fill, clock: MovableClock) -> None:
    fill(store)
    for message_id in ("conv-7101-04", "conv-7105-02"):
        clock.forward(minutes=1)
        decide(store, seed_case_id(message_id), "wang", "dismiss", clock=clock)
    listed = list_cases(store, CaseFilter(statuses=(CaseStatus.DISMISSED,)))
    assert [case.snapshot.message.message_id for case in listed] == ["conv-7105-02", "conv-7101-04"]


@pytest.mark.parametrize("url", ["sqlite://", "mysql://x/y", "not a url", "sqlite:////nowhere/at/all.db"])
def test_a_store_that_cannot_hold_decisions_is_refused(url: str) -> None:
    with pytest.raises(DeskStoreError):
        open_desk_store(url)


def test_a_password_in_the_url_is_not_shown() -> None:
    with pytest.raises(DeskStoreError) as refused:
        open_desk_store("postgresql://desk:s3cret-word@127.0.0.1:1/desk")
    assert "s3cret-word" not in str(refused.value)
