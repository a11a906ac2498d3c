"""One suite over every EventStore: what holds for SQLite holds for ClickHouse."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from detectors.domain import Outcome, Verdict
from streams.errors import StoreError
from streams.store.base import EventStore, Origin, ReviewCursor, StoreCounts, StoredMessage, StoredVerdict
from streams.store.clickhouse.migrate import migrate
from streams.store.clickhouse.store import ClickHouseEventStore
from streams.store.sqlite import SqliteEventStore
from tests.stream_samples import message, rich_message, verdict


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(params=["sqlite", pytest.param("clickhouse", marks=pytest.mark.clickhouse)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    opened: EventStore
    if request.param == "sqlite":
        opened = SqliteEventStore(tmp_path / "events.db")
    else:
        client = request.getfixturevalue("clickhouse")
        migrate(client, clock=utc_now)
        opened = ClickHouseEventStore(client, clock=utc_now, settle=timedelta(0))
    yield opened
    opened.close()


def write(store: EventStore, *verdicts: Verdict) -> None:
    store.write_verdicts([StoredVerdict(each, Origin("compliance.verdicts", 0, 1)) for each in verdicts])


def ids_for_review(store: EventStore) -> list[str]:
    return [each.message_id for each in store.verdicts_for_review(None, 100)[0]]


def test_message_comes_back_exactly(store: EventStore) -> None:
    store.write_messages([StoredMessage(rich_message(), Origin("advisor.messages", 2, 41))])
    found = store.message("c1-rich")
    assert rich_message() == found
    assert found is not None
    assert rich_message().sent_at.utcoffset() == found.sent_at.utcoffset()


def test_verdict_comes_back_exactly(store: EventStore) -> None:
    flagged = verdict(outcome=Outcome.FLAGGED, queue_reasons=("flagged",))
    write(store, flagged)
    assert flagged == store.verdict("c1-m1")


def test_what_is_not_there_is_none(store: EventStore) -> None:
    assert store.message("x") is None
    assert store.verdict("x") is None
    assert store.conversation("x") == []
    assert store.verdicts_for_review(None, 10) == ([], None)
    assert StoreCounts(0, 0, 0, 0) == store.counts()


def test_ids_are_data_not_sql(store: EventStore) -> None:
    nasty = replace(message(1), message_id="m' OR 1=1 --\\", conversation_id="c\\' ; DROP")
    store.write_messages([StoredMessage(nasty)])
    assert nasty == store.message(nasty.message_id)
    assert [nasty] == store.conversation(nasty.conversation_id)
    assert store.message("m") is None


def test_conversation_is_ordered_by_time_then_seq_then_arrival(store: EventStore) -> None:
    late, early = message(9), message(1)
    second = replace(message(5), message_id="s2", seq=2)
    first = replace(message(5), message_id="s1", seq=1)
    without = replace(message(5), message_id="s0")
    rows = [StoredMessage(each) for each in (late, second, first, without, early)]
    store.write_messages(rows[:2])
    store.write_messages(rows[2:])
    assert [early, without, first, second, late] == store.conversation("c1")


def test_writing_again_changes_nothing(store: EventStore) -> None:
    rows = [StoredMessage(message(n), Origin("advisor.messages", 0, n)) for n in range(3)]
    flagged = verdict(outcome=Outcome.FLAGGED)
    for _ in range(3):
        store.write_messages(rows)
        write(store, flagged)
    assert [row.message for row in rows] == store.conversation("c1")
    assert StoreCounts(3, 1, 1, 0) == store.counts()


def test_a_message_may_stand_twice_in_one_batch(store: EventStore) -> None:
    store.write_messages([StoredMessage(message(1)), StoredMessage(message(1))])
    write(store, verdict(), verdict())
    assert StoreCounts(1, 1, 0, 0) == store.counts()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "the later one comes first"])
def test_latest_verdict_wins(store: EventStore, order: tuple[int, int]) -> None:
    verdicts = [verdict(outcome=Outcome.UNDECIDED, second=0), verdict(outcome=Outcome.FLAGGED, second=1)]
    for index in order:
        write(store, verdicts[index])
    assert verdicts[1] == store.verdict("c1-m1")
    assert StoreCounts(0, 1, 1, 0) == store.counts()


def test_latest_verdict_wins_across_months(store: EventStore) -> None:
    write(store, verdict(outcome=Outcome.FLAGGED, second=0))
    write(store, verdict(outcome=Outcome.CLEAN, second=90 * 24 * 3600))
    assert StoreCounts(0, 1, 0, 0) == store.counts()
    assert ids_for_review(store) == []


def test_review_has_what_a_person_should_see(store: EventStore) -> None:
    write(
        store,
        verdict("clean"),
        verdict("flagged", outcome=Outcome.FLAGGED),
        verdict("undecided", outcome=Outcome.UNDECIDED),
        verdict("disagreeing", queue_reasons=("disagreement",)),
    )
    assert {"flagged", "undecided", "disagreeing"} == set(ids_for_review(store))


def test_review_is_read_in_pages_without_gaps(store: EventStore) -> None:
    names = [f"m{n:02}" for n in range(25)]
    for start in range(0, 25, 5):
        write(store, *[verdict(name, outcome=Outcome.FLAGGED) for name in names[start : start + 5]])
    read: list[str] = []
    cursor: ReviewCursor | None = None
    while True:
        page, after = store.verdicts_for_review(cursor, 4)
        read += [each.message_id for each in page]
        if after == cursor:
            break
        assert after is not None
        cursor = ReviewCursor.parse(str(after))
    assert names == read


def test_review_shows_what_comes_after_the_cursor(store: EventStore) -> None:
    # Detected earlier than what was read, but it arrives later: it must not be passed over.
    write(store, verdict("first", outcome=Outcome.FLAGGED, second=10))
    _, cursor = store.verdicts_for_review(None, 10)
    write(store, verdict("second", outcome=Outcome.FLAGGED, second=1))
    page, after = store.verdicts_for_review(cursor, 10)
    assert [each.message_id for each in page] == ["second"]
    assert ([], after) == store.verdicts_for_review(after, 10)


def test_verdict_that_became_clean_leaves_the_review(store: EventStore) -> None:
    write(store, verdict("m", outcome=Outcome.FLAGGED, second=0), verdict("n", outcome=Outcome.FLAGGED))
    write(store, verdict("m", outcome=Outcome.CLEAN, second=1))
    assert ids_for_review(store) == ["n"]


def test_nothing_to_write_is_fine(store: EventStore) -> None:
    store.write_messages([])
    store.write_verdicts([])
    assert StoreCounts(0, 0, 0, 0) == store.counts()


def test_close_may_be_called_twice(store: EventStore) -> None:
    store.close()
    store.close()


def test_sqlite_keeps_over_a_restart(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "deep" / "events.db")
    store.write_messages([StoredMessage(message(1))])
    store.close()
    again = SqliteEventStore(tmp_path / "deep" / "events.db")
    assert message(1) == again.message("c1-m1")
    again.close()


def test_sqlite_refuses_a_later_version(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "events.db")
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError) as caught:
        SqliteEventStore(tmp_path / "events.db")
    assert not caught.value.retryable
    assert "update redline" in str(caught.value)
