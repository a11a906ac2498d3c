"""Every question of the reports, answered the same by every kind of store, whatever was written twice."""

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
from streams.store.queries import (
    AdvisorCount,
    HourCount,
    LabelCount,
    LabelQuality,
    ReasonCount,
    ReviewerCount,
    SourceCount,
    SourceQuality,
    VersionUse,
)
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


def test_messages_per_hour(filled: EventStore) -> None:
    first = START.replace(minute=0)
    assert [(first, 3), (first + HOUR, 1), (first + 2 * HOUR, 1)] == queries.messages_per_hour(
        filled, FROM, TO
    )
    assert [(first, 3)] == queries.messages_per_hour(filled, START, START + timedelta(minutes=1))


def test_outcomes_per_hour(filled: EventStore) -> None:
    first = START.replace(minute=0)
    assert [
        HourCount(first, clean=0, flagged=1, undecided=0),
        HourCount(first + HOUR, clean=2, flagged=1, undecided=0),
        HourCount(first + 2 * HOUR, clean=0, flagged=1, undecided=0),
    ] == queries.outcomes_per_hour(filled, FROM, TO)


def test_findings_by_label_and_source(filled: EventStore) -> None:
    assert [LabelCount(FORECAST, 2, 2), LabelCount(PROMISE, 2, 1)] == queries.findings_by_label(
        filled, FROM, TO
    )
    assert [
        SourceCount("model", "m1", PROMISE, 2),
        SourceCount("model", "m1", FORECAST, 1),
        SourceCount("rule", "principal-is-safe", FORECAST, 1),
        SourceCount("rule", "principal-is-safe", PROMISE, 1),
    ] == queries.findings_by_source(filled, FROM, TO)


def test_flagged_by_advisor(filled: EventStore) -> None:
    assert [
        AdvisorCount("zhang", "b1", 3, 2),
        AdvisorCount("wang", "b1", 1, 1),
    ] == queries.flagged_by_advisor(filled, FROM, TO)
    assert 1 == len(queries.flagged_by_advisor(filled, FROM, TO, limit=1))


def test_versions_in_use(filled: EventStore) -> None:
    (use,) = queries.versions_in_use(filled, FROM, TO)
    assert VersionUse("cn-1", "abc", "m1", 5, START, START + timedelta(minutes=130)) == use


def test_messages_without_a_verdict(filled: EventStore) -> None:
    assert [] == queries.unjudged(filled, FROM, TO)
    other = replace(LIST[0][0], text="不保本")
    filled.write_messages([StoredMessage(other)])
    assert [("c1", "c1-m1", content_hash(other))] == queries.unjudged(filled, FROM, TO)


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


def test_what_reviewers_say_of_labels_and_sources(filled: EventStore) -> None:
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
    assert [
        ReviewerCount("li", "confirm", 1),
        ReviewerCount("wu", "relabel", 1),
    ] == queries.decisions_by_reviewer(filled, FROM, TO)
    assert [
        LabelQuality(FORECAST, said=1, agreed=1, added=0),
        LabelQuality(PROMISE, said=2, agreed=1, added=0),
        LabelQuality("private_deal", said=0, agreed=0, added=1),
    ] == queries.label_quality(filled, FROM, TO)
    assert [
        SourceQuality("model", "m1", PROMISE, said=2, agreed=1),
        SourceQuality("model", "m1", FORECAST, said=1, agreed=1),
        SourceQuality("rule", "principal-is-safe", PROMISE, said=1, agreed=1),
    ] == queries.source_quality(filled, FROM, TO)


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
    assert [
        ReasonCount("bad_json", "", "open", 1),
        ReasonCount("bad_json", "", "replayed", 1),
        ReasonCount("pipeline_error", "ab", "open", 1),
    ] == queries.dead_letters_by_reason(store)


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
