"""From the event store into the queue, with nothing lost on the way."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from detectors.domain import Turn, Verdict
from feedback.cases import CaseFilter, case_id_of, count_matching, get_case
from feedback.decisions import decide
from feedback.intake import Pulled, pull_cases
from feedback.store.desk_store import DeskStore
from streams.store.base import EventStore, StoredMessage, StoredVerdict

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
        case = get_case(store, case_id_of(verdict.message_id))
        assert (turn, verdict) == (case.snapshot.turn, case.snapshot.verdict)


def test_pulling_again_changes_nothing(
    events: EventStore, store: DeskStore, pairs: Pairs, clock: Clock
) -> None:
    events.write_messages(_messages(pairs))
    events.write_verdicts(_verdicts(pairs))
    pull_cases(events, store, clock=clock)
    decide(store, case_id_of("conv-7101-04"), "wang", "dismiss", clock=clock)
    assert Pulled(opened=0, waiting=0) == pull_cases(events, store, clock=clock)
    assert Pulled(opened=0, waiting=0) == pull_cases(events, store, clock=clock, source="read from the start")
    assert count_matching(store, CaseFilter()) == 7


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
    assert absent == get_case(store, case_id_of(absent.message_id)).snapshot.verdict
