"""From the event store into the queue, with nothing lost on the way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from detectors.domain import Turn, Verdict
from feedback.cases import CaseFilter, case_id_of, count_matching, get_case, open_cases
from feedback.decisions import decide
from feedback.intake import Pulled, pull_again, pull_cases
from feedback.store.desk_store import DeskStore
from feedback.store.tables import case_facets, cases, state
from streams.identity import content_hash, verdict_key
from streams.store.base import EventStore, ReviewCursor, StoredMessage, StoredVerdict
from tests.desk_samples import seed_case_id

Pairs = list[tuple[Turn, Verdict]]
Clock = Callable[[], datetime]


@pytest.fixture
def events(tmp_path: Path) -> Iterator[EventStore]:
    from streams.store.sqlite import SqliteEventStore

    opened = SqliteEventStore(tmp_path / "events.db")
    yield opened
    opened.close()


def _messages(pairs: Pairs) -> list[StoredMessage]:
    return [StoredMessage(message) for turn, _ in pairs for message in (*turn.before, turn.message)]


def _verdicts(pairs: Pairs) -> list[StoredVerdict]:
    return [StoredVerdict(verdict) for _, verdict in pairs]


def test_every_verdict_for_review_becomes_a_case(
    events: EventStore, store: DeskStore, pairs: Pairs, clock: Clock
) -> None:
    events.write_messages(_messages(pairs))
    events.write_verdicts(_verdicts(pairs))
    assert Pulled(opened=8, waiting=0) == pull_cases(events, store, clock=clock, batch_size=3)
    for turn, verdict in pairs:
        case = get_case(store, seed_case_id(verdict.message_id))
        assert (turn, verdict) == (case.snapshot.turn, case.snapshot.verdict)


def test_pulling_again_changes_nothing(
    events: EventStore, store: DeskStore, pairs: Pairs, clock: Clock
) -> None:
    events.write_messages(_messages(pairs))
    events.write_verdicts(_verdicts(pairs))
    pull_cases(events, store, clock=clock)
    decide(store, seed_case_id("conv-7101-04"), "wang", "dismiss", clock=clock)
    assert Pulled(opened=0, waiting=0) == pull_cases(events, store, clock=clock)
    assert Pulled(opened=0, waiting=0) == pull_cases(events, store, clock=clock, source="read from the start")
    assert count_matching(store, CaseFilter()) == 7


def test_all_verdicts_are_read_again_on_request(
    events: EventStore, store: DeskStore, pairs: Pairs, clock: Clock
) -> None:
    events.write_messages(_messages(pairs))
    events.write_verdicts(_verdicts(pairs))
    pull_cases(events, store, clock=clock)
    with store.write() as connection:  # what an offset behind the cursor amounts to
        connection.execute(delete(case_facets))
        connection.execute(delete(cases))
    assert 0 == pull_cases(events, store, clock=clock).opened
    pull_again(store)
    assert 8 == pull_cases(events, store, clock=clock).opened
    pull_again(store)
    assert 0 == pull_cases(events, store, clock=clock).opened


def test_a_desk_that_is_pulling_does_not_undo_the_request_to_read_again(
    events: EventStore, store: DeskStore, pairs: Pairs, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    events.write_messages(_messages(pairs))
    events.write_verdicts(_verdicts(pairs[:4]))
    pull_cases(events, store, clock=clock)
    events.write_verdicts(_verdicts(pairs[4:]))
    read = events.verdicts_for_review

    def asked_meanwhile(after: ReviewCursor | None, limit: int) -> tuple[list[Verdict], ReviewCursor | None]:
        pull_again(store)
        return read(after, limit)

    with monkeypatch.context() as patched:
        patched.setattr(events, "verdicts_for_review", asked_meanwhile)
        pull_cases(events, store, clock=clock, batch_size=2)
    with store.read() as connection:
        assert connection.execute(select(state).where(state.c.name == "intake_cursor:events")).first() is None
    assert Pulled(opened=2, waiting=0) == pull_cases(events, store, clock=clock)


def test_a_verdict_ahead_of_its_message_waits_for_it(
    events: EventStore, store: DeskStore, pairs: Pairs, clock: Clock
) -> None:
    events.write_verdicts(_verdicts(pairs))
    events.write_messages(_messages(pairs[1:]))
    absent = pairs[0][1]
    assert Pulled(opened=7, waiting=1) == pull_cases(events, store, clock=clock)
    assert Pulled(opened=0, waiting=1) == pull_cases(events, store, clock=clock)
    events.write_messages(_messages(pairs[:1]))
    assert Pulled(opened=1, waiting=0) == pull_cases(events, store, clock=clock)
    assert absent == get_case(store, seed_case_id(absent.message_id)).snapshot.verdict


def test_each_text_under_one_id_is_a_case_of_its_own(
    events: EventStore, store: DeskStore, pairs: Pairs, clock: Clock
) -> None:
    turn, verdict = pairs[0]
    other = replace(turn.message, text="换一句话")
    both = [
        (message, replace(verdict, content_hash=content_hash(message))) for message in (turn.message, other)
    ]
    for message, judged in both:
        events.write_messages([StoredMessage(message)])
        events.write_verdicts([StoredVerdict(judged)])
    assert Pulled(opened=2, waiting=0) == pull_cases(events, store, clock=clock)
    for message, judged in both:
        assert message == get_case(store, case_id_of(verdict_key(judged))).snapshot.message


def test_a_case_of_the_first_version_is_not_opened_again(
    events: EventStore, store: DeskStore, pairs: Pairs, clock: Clock
) -> None:
    """Redline 0.1 named a case after the message's id alone."""
    open_cases(store, pairs[:1], clock=clock)
    turn, verdict = pairs[0]
    first_id = sha256(verdict.message_id.encode()).hexdigest()[:20]
    with store.write() as connection:
        connection.execute(delete(case_facets))
        connection.execute(update(cases).values(case_id=first_id))
    newer = replace(
        verdict,
        content_hash=content_hash(turn.message),
        detected_at=verdict.detected_at + timedelta(hours=1),
    )
    other_text = replace(turn.message, text="换一句话")
    assert 0 == open_cases(store, [(turn, newer)], clock=clock)
    assert newer == get_case(store, first_id).snapshot.verdict
    fresh = replace(verdict, content_hash=content_hash(other_text))
    assert 1 == open_cases(store, [(Turn(other_text), fresh)], clock=clock)


def test_a_cursor_of_the_first_version_starts_over(
    events: EventStore, store: DeskStore, pairs: Pairs, clock: Clock
) -> None:
    with store.write() as connection:
        connection.execute(insert(state).values(name="intake_cursor:events", value='"17:m"'))
    events.write_messages(_messages(pairs))
    events.write_verdicts(_verdicts(pairs))
    assert 8 == pull_cases(events, store, clock=clock).opened
