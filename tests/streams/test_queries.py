"""Questions in SQL are answered the same by every kind of store, whatever was written twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from detectors.domain import Evidence, Finding, Message, Outcome, Severity, Source, Verdict
from streams.dead_letter_events import DeadLetterEvent
from streams.identity import content_hash
from streams.ledger import LedgerRecord
from streams.origin import Origin
from streams.reviews import Review, ReviewAction
from streams.store import queries
from streams.store.base import EventStore, StoredMessage, StoredVerdict
from streams.store.rows import microseconds
from tests.stream_samples import START, message, verdict

HOUR = timedelta(hours=1)
FROM, TO = START - HOUR, START + 3 * HOUR
PROMISE = "guaranteed_return"
FORECAST = "forecast"


def found(label: str, *sources: tuple[str, str]) -> Finding:
    kinds = tuple(Source(kind, name, "1") for kind, name in sources)  # type: ignore[arg-type]
    return Finding(label, Severity.HIGH, 0.9, kinds, (Evidence(0, 2, "保本"),))


def judged(spoken: Message, *findings: Finding, minutes: int = 0) -> Verdict:
    outcome = Outcome.FLAGGED if findings else Outcome.CLEAN
    base = verdict(spoken.message_id, outcome=outcome, conversation=spoken.conversation_id)
    at = START + timedelta(minutes=minutes)
    return replace(base, findings=findings, detected_at=at, content_hash=content_hash(spoken))


def by(advisor: str, number: int, conversation: str, hours: int = 0) -> Message:
    spoken = message(2 * number + 1, conversation, text="保本")
    return replace(spoken, advisor_id=advisor, branch="b1", sent_at=START + hours * HOUR)


RULE, MODEL = ("rule", "principal-is-safe"), ("model", "m1")
LIST = [
    (by("zhang", 0, "c1"), [found(PROMISE, RULE, MODEL)], 0),
    (by("zhang", 1, "c1"), [found(PROMISE, MODEL), found(FORECAST, MODEL)], 70),
    (by("zhang", 2, "c2", hours=1), [], 71),
    (by("li", 0, "c3"), [], 72),
    (by("wang", 0, "c4", hours=2), [found(FORECAST, RULE)], 130),
]


@pytest.fixture
def filled(store: EventStore) -> EventStore:
    """Everything is written twice, as after a crash, and one verdict is an old one of today's."""
    rows = [StoredVerdict(judged(spoken, *findings, minutes=at)) for spoken, findings, at in LIST]
    older = judged(LIST[2][0], found("old", RULE), minutes=-5)
    for _ in range(2):
        store.write_messages([StoredMessage(spoken) for spoken, _, _ in LIST])
        store.write_verdicts([*rows, StoredVerdict(older)])
    return store


def test_a_message_is_there_once(filled: EventStore) -> None:
    rows = filled.select(
        "SELECT conversation_id, message_id, content_hash, speaker, advisor_id, branch FROM current_messages "
        "ORDER BY conversation_id, message_id",
        {},
    )
    assert [
        (each.conversation_id, each.message_id, content_hash(each), "advisor", each.advisor_id, "b1")
        for each, _, _ in LIST
    ] == rows


def test_the_latest_verdict_counts_with_its_findings_and_their_sources(filled: EventStore) -> None:
    outcomes = "SELECT message_id, outcome FROM current_verdicts ORDER BY conversation_id, message_id"
    assert [
        ("c1-m1", "flagged"),
        ("c1-m3", "flagged"),
        ("c2-m5", "clean"),
        ("c3-m1", "clean"),
        ("c4-m1", "flagged"),
    ] == filled.select(outcomes, {})
    findings = "SELECT message_id, label, outcome FROM current_findings ORDER BY message_id, label"
    assert [
        ("c1-m1", PROMISE, "flagged"),
        ("c1-m3", FORECAST, "flagged"),
        ("c1-m3", PROMISE, "flagged"),
        ("c4-m1", FORECAST, "flagged"),
    ] == filled.select(findings, {})
    sources = (
        "SELECT message_id, label, kind, source_id FROM current_sources ORDER BY message_id, label, kind"
    )
    assert [
        ("c1-m1", PROMISE, *MODEL),
        ("c1-m1", PROMISE, *RULE),
        ("c1-m3", FORECAST, *MODEL),
        ("c1-m3", PROMISE, *MODEL),
        ("c4-m1", FORECAST, *RULE),
    ] == filled.select(sources, {})


def test_outcomes_are_counted_by_hour(filled: EventStore) -> None:
    first = START.replace(minute=0)
    rows = filled.select("SELECT hour_us, outcome, verdicts FROM hourly_counts ORDER BY hour_us, outcome", {})
    assert [
        (microseconds(first), "flagged", 1),
        (microseconds(first + HOUR), "clean", 2),
        (microseconds(first + HOUR), "flagged", 1),
        (microseconds(first + 2 * HOUR), "flagged", 1),
    ] == rows


def test_conversations_between(filled: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 2)
    assert ["c1", "c2", "c3", "c4"] == list(queries.conversations_between(filled, FROM, TO))
    assert ["c2", "c4"] == list(queries.conversations_between(filled, START + HOUR, TO))


def review(
    seq: int, case: int, action: ReviewAction, labels: tuple[str, ...] = (), reviewer: str = "li"
) -> Review:
    spoken, findings, _ = LIST[case]
    return Review(
        seq=seq,
        case_id=f"case-{case}",
        conversation_id=spoken.conversation_id,
        message_id=spoken.message_id,
        content_hash=content_hash(spoken),
        action=action,
        labels=labels,
        machine_labels=tuple(finding.label for finding in findings),
        reviewer=reviewer,
        at=START + timedelta(minutes=seq),
        shown="d" * 64,
        catalogue="cn-1",
        pack="abc",
        model="m1",
        code="0.1.0",
    )


def test_the_last_decision_on_a_case_counts_unless_it_was_reopened(filled: EventStore) -> None:
    steps = [
        review(1, 0, "dismiss"),
        review(2, 0, "reopen"),
        review(3, 0, "confirm", (PROMISE,)),
        review(4, 1, "relabel", (FORECAST, "private_deal"), reviewer="wu"),
        review(5, 4, "dismiss"),
        review(6, 4, "reopen"),
    ]
    for _ in range(2):
        filled.write_reviews(steps)
    decisions = "SELECT case_id, reviewer, action FROM current_decisions ORDER BY case_id"
    assert [("case-0", "li", "confirm"), ("case-1", "wu", "relabel")] == filled.select(decisions, {})
    labels = "SELECT case_id, label, machine, person FROM current_decision_labels ORDER BY case_id, label"
    assert [
        ("case-0", PROMISE, 1, 1),
        ("case-1", FORECAST, 1, 1),
        ("case-1", PROMISE, 1, 0),
        ("case-1", "private_deal", 0, 1),
    ] == filled.select(labels, {})


def test_dead_letters_are_counted_until_somebody_sees_to_them(store: EventStore) -> None:
    def event(offset: int, status: str, minutes: int, **said: str) -> DeadLetterEvent:
        at = START + timedelta(minutes=minutes)
        return DeadLetterEvent(Origin("advisor.messages", 0, offset), status, at, **said)  # type: ignore[arg-type]

    events = [
        event(1, "open", 0, reason="bad_json"),
        event(1, "open", 1, reason="bad_json"),
        event(2, "open", 2, reason="bad_json"),
        event(3, "open", 3, reason="pipeline_error", stack_digest="ab"),
        event(4, "dropped", 9, actor="wu", why="test data"),
    ]
    for _ in range(2):
        store.write_dead_letters(events)
    assert 3 == store.counts().dead_letters
    store.write_dead_letters([event(2, "replayed", 5, actor="li", why="repaired")])
    assert 2 == store.counts().dead_letters
    assert 2 == queries.open_dead_letters(store)
    letters = "SELECT offset_no, reason, stack_digest, status FROM current_dead_letters ORDER BY offset_no"
    assert [
        (1, "bad_json", "", "open"),
        (2, "bad_json", "", "replayed"),
        (3, "pipeline_error", "ab", "open"),
    ] == store.select(letters, {})


def test_a_letter_where_an_older_one_was_seen_to_is_open(store: EventStore) -> None:
    """Offsets begin at 0 again where a topic was made anew; a note speaks of what had failed by then."""
    place = Origin("advisor.messages", 0, 1)

    def letter(minutes: int, reason: str, size: int) -> DeadLetterEvent:
        return DeadLetterEvent(place, "open", START + timedelta(minutes=minutes), reason=reason, size=size)

    def note(minutes: int) -> DeadLetterEvent:
        return DeadLetterEvent(place, "dropped", START + timedelta(minutes=minutes), actor="wu", why="test")

    def states() -> list[tuple[object, ...]]:
        return store.select(
            "SELECT status, reason, size, letters, resolved_us > 0, actor, why FROM current_dead_letters", {}
        )

    store.write_dead_letters([letter(0, "bad_json", 70), note(5)])
    assert [("dropped", "bad_json", 70, 1, 1, "wu", "test")] == states()
    store.write_dead_letters([letter(9, "clock_skew", 7)])
    assert [("open", "clock_skew", 7, 2, 0, "", "")] == states()
    assert 1 == store.counts().dead_letters
    store.write_dead_letters([note(12)])
    assert [("dropped", "clock_skew", 7, 2, 1, "wu", "test")] == states()


def test_the_ledger_is_kept_once(store: EventStore) -> None:
    at = datetime(2025, 3, 2, tzinfo=UTC)
    entry = LedgerRecord("model", at, "li", "promoted", "m2", previous="m1", reasons=("better", "'quoted'"))
    for _ in range(2):
        store.write_ledger([entry, replace(entry, action="rolled_back", previous=None)])
    rows = store.select(
        "SELECT kind, actor, action, version, previous FROM current_ledger ORDER BY action", {}
    )
    assert [
        ("model", "li", "promoted", "m2", "m1"),
        ("model", "li", "rolled_back", "m2", ""),
    ] == rows
