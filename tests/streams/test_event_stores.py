"""One suite over every EventStore: what holds for SQLite holds for ClickHouse, old and modern."""

import sqlite3
from dataclasses import replace
from datetime import date, timedelta
from itertools import count, permutations
from pathlib import Path

import pytest

from detectors.domain import Outcome, Verdict
from streams.codec import encode_message, encode_verdict
from streams.dead_letter_events import DeadLetterEvent
from streams.errors import StoreError
from streams.identity import MessageKey, content_hash, message_key
from streams.store.base import EventStore, Origin, ReviewCursor, StoreCounts, StoredMessage, StoredVerdict
from streams.store.rows import microseconds
from streams.store.sqlite import SqliteEventStore
from tests.stream_samples import START, message, rich_message, verdict

OFFSETS = count(1)


def write(store: EventStore, *verdicts: Verdict) -> None:
    store.write_verdicts(
        [StoredVerdict(each, Origin("compliance.verdicts", 0, next(OFFSETS))) for each in verdicts]
    )


def ids_for_review(store: EventStore) -> list[str]:
    return [each.message_id for each in store.verdicts_for_review(None, 100)[0]]


def test_message_comes_back_exactly(store: EventStore) -> None:
    store.write_messages([StoredMessage(rich_message(), Origin("advisor.messages", 2, 41))])
    found = store.message("c1", "c1-rich")
    assert rich_message() == found
    assert found is not None
    assert rich_message().sent_at.utcoffset() == found.sent_at.utcoffset()


def test_verdict_comes_back_exactly(store: EventStore) -> None:
    flagged = verdict(outcome=Outcome.FLAGGED, queue_reasons=("flagged",))
    write(store, flagged)
    assert flagged == store.verdict("c1", "c1-m1")


def test_what_is_not_there_is_none(store: EventStore) -> None:
    assert store.message("c", "x") is None
    assert store.verdict("c", "x") is None
    assert store.conversation("x") == []
    assert store.verdicts_for_review(None, 10) == ([], None)
    assert StoreCounts(0, 0, 0, 0) == store.counts()


def test_ids_are_data_not_sql(store: EventStore) -> None:
    nasty = replace(message(1), message_id="m' OR 1=1 --\\", conversation_id="c\\' ; DROP")
    store.write_messages([StoredMessage(nasty)])
    assert nasty == store.message(nasty.conversation_id, nasty.message_id)
    assert [nasty] == store.conversation(nasty.conversation_id)
    assert store.message("c", "m") is None


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
    assert verdicts[1] == store.verdict("c1", "c1-m1")
    assert StoreCounts(0, 1, 1, 0) == store.counts()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_what_the_judge_flagged_stands_whatever_comes_when(
    store: EventStore, order: tuple[int, int, int, int]
) -> None:
    """The message is delivered again, and judged again without the judge: its opinion stays."""
    amended = [verdict(outcome=Outcome.FLAGGED, second=second, by="judge") for second in (1, 2)]
    undecided = [verdict(outcome=Outcome.UNDECIDED, second=second) for second in (0, 90 * 24 * 3600)]
    for index in order:
        write(store, [*amended, *undecided][index])
    assert amended[1] == store.verdict("c1", "c1-m1")
    assert [amended[1]] == store.verdicts_for_review(None, 10)[0]
    assert StoreCounts(0, 1, 1, 0) == store.counts()
    assert [(microseconds(amended[1].detected_at), 1)] == store.select(
        "SELECT detected_us, amended FROM current_verdicts", {}
    )
    assert [("judge", microseconds(amended[1].detected_at))] == store.select(
        "SELECT kind, detected_us FROM current_sources", {}
    )


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


def said(text: str, *, outcome: Outcome = Outcome.CLEAN, second: int = 0) -> tuple[StoredMessage, Verdict]:
    """A message under an id that others use too, with its verdict."""
    spoken = message(1, text=text)
    judged = replace(verdict("c1-m1", outcome=outcome, second=second), content_hash=content_hash(spoken))
    return StoredMessage(spoken), judged


def test_an_id_counts_within_its_conversation(store: EventStore) -> None:
    here = replace(message(1, text="保本"), message_id="1")
    there = replace(message(1, "c2", text="您好"), message_id="1")
    store.write_messages([StoredMessage(here), StoredMessage(there)])
    write(store, verdict("1", outcome=Outcome.FLAGGED), verdict("1", conversation="c2"))
    assert (here, there) == (store.message("c1", "1"), store.message("c2", "1"))
    assert StoreCounts(2, 2, 1, 0) == store.counts()
    found = [store.verdict(conversation, "1") for conversation in ("c1", "c2")]
    assert [Outcome.FLAGGED, Outcome.CLEAN] == [each.outcome for each in found if each]


def test_a_clean_verdict_on_other_words_hides_nothing(store: EventStore) -> None:
    promised, flagged = said("保本", outcome=Outcome.FLAGGED, second=0)
    harmless, clean = said("您好", second=9)
    store.write_messages([promised])
    store.write_messages([harmless])
    write(store, flagged)
    write(store, clean)
    assert flagged == store.verdict("c1", "c1-m1")
    assert clean == store.verdict("c1", "c1-m1", clean.content_hash)
    assert [flagged] == store.verdicts_for_review(None, 10)[0]
    assert [promised.message, harmless.message] == store.conversation("c1")
    assert harmless.message == store.message("c1", "c1-m1")
    assert promised.message == store.message("c1", "c1-m1", flagged.content_hash)
    assert StoreCounts(2, 2, 1, 0) == store.counts()


def test_a_repeat_with_another_time_is_the_same_message(store: EventStore) -> None:
    first = message(1)
    store.write_messages([StoredMessage(first)])
    store.write_messages([StoredMessage(replace(first, sent_at=message(40).sent_at))])
    assert [first] == store.conversation("c1")
    assert 1 == store.counts().messages


def test_what_is_there_is_told_by_key(store: EventStore) -> None:
    stored, judged = said("保本", outcome=Outcome.FLAGGED)
    store.write_messages([stored])
    write(store, judged)
    key, absent = message_key(stored.message), MessageKey("c1", "c1-m1", "other")
    assert {key} == store.present("messages", [key, absent])
    assert {key} == store.present("verdicts", [key, absent])
    assert {key: judged} == store.verdicts([absent, key])
    many = [MessageKey("c" * 500, f"{n:0>500}", "") for n in range(120)]
    assert set() == store.present("messages", many)


def test_two_writers_with_clocks_of_their_own_are_both_read(store: EventStore) -> None:
    """The reader goes on by offsets: what the slower clock writes later is not passed over."""

    def from_partition(partition: int, offset: int, name: str, second: int) -> StoredVerdict:
        judged = verdict(name, outcome=Outcome.FLAGGED, second=second)
        return StoredVerdict(judged, Origin("compliance.verdicts", partition, offset))

    store.write_verdicts([from_partition(0, 900, "fast", 3600)])
    page, cursor = store.verdicts_for_review(None, 10)
    assert ["fast"] == [each.message_id for each in page]
    store.write_verdicts([from_partition(1, 3, "slow", -3600)])
    page, cursor = store.verdicts_for_review(cursor, 10)
    assert ["slow"] == [each.message_id for each in page]
    store.write_verdicts([from_partition(1, 4, "slower", -7200), from_partition(0, 901, "faster", 7200)])
    page, after = store.verdicts_for_review(cursor, 10)
    assert {"slower", "faster"} == {each.message_id for each in page}
    assert ([], after) == store.verdicts_for_review(after, 10)


def test_of_two_verdicts_at_one_place_none_is_passed_over(store: EventStore) -> None:
    """A topic that was made anew gives its offsets a second time."""
    for month in range(2):
        store.write_verdicts(
            [
                StoredVerdict(
                    verdict(f"{month}-{offset}", outcome=Outcome.FLAGGED, second=month * 40 * 24 * 3600),
                    Origin("compliance.verdicts", 0, offset),
                )
                for offset in range(4)
            ]
        )
    found: set[str] = set()
    cursor = None
    while True:
        page, reached = store.verdicts_for_review(cursor, 3)
        found |= {each.message_id for each in page}
        if reached == cursor:
            break
        cursor = reached
    assert {f"{month}-{offset}" for month in range(2) for offset in range(4)} == found


def test_verdicts_without_a_broker_are_read_once_too(store: EventStore) -> None:
    store.write_verdicts([StoredVerdict(verdict(name, outcome=Outcome.FLAGGED)) for name in "ab"])
    page, cursor = store.verdicts_for_review(None, 1)
    rest, cursor = store.verdicts_for_review(cursor, 10)
    assert {"a", "b"} == {each.message_id for each in (*page, *rest)}
    store.write_verdicts([StoredVerdict(verdict("c", outcome=Outcome.FLAGGED))])
    assert ["c"] == [each.message_id for each in store.verdicts_for_review(cursor, 10)[0]]


def test_a_month_can_be_dropped(store: EventStore) -> None:
    old, young = message(1), replace(message(2), sent_at=message(1).sent_at + timedelta(days=40))
    store.write_messages([StoredMessage(old), StoredMessage(young)])
    write(store, verdict("c1-m1", outcome=Outcome.FLAGGED), verdict("c1-m2", second=40 * 86_400))
    assert [date(2025, 3, 1), date(2025, 4, 1)] == store.months()
    store.drop_month(date(2025, 3, 1))
    assert [date(2025, 4, 1)] == store.months()
    assert [young] == store.conversation("c1")
    assert StoreCounts(1, 1, 0, 0) == store.counts()
    assert ids_for_review(store) == []


@pytest.mark.parametrize("text", ["", "17:c1-m1", "[]", '{"a": "b"}', '{"a": 1.5}'])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a review cursor"):
        ReviewCursor.parse(text)


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
    assert message(1) == again.message("c1", "c1-m1")
    again.close()


def test_sqlite_refuses_a_later_version(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "events.db")
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError) as caught:
        SqliteEventStore(tmp_path / "events.db")
    assert not caught.value.retryable
    assert "update redline" in str(caught.value)


def test_sqlite_file_of_the_second_version_is_taken_over(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "events.db")
    store._db.executescript(
        "DROP VIEW current_verdicts; ALTER TABLE verdicts DROP COLUMN amended; PRAGMA user_version = 2;"
        "CREATE VIEW current_verdicts AS SELECT conversation_id FROM verdicts"
    )
    store._db.execute(
        "INSERT INTO verdicts VALUES ('c1', 'c1-m1', '', 1, ?, 'undecided', 8, 1, ?, '', 0, -1)",
        (0, encode_verdict(verdict(outcome=Outcome.UNDECIDED)).decode()),
    )
    store.close()
    store = SqliteEventStore(tmp_path / "events.db")
    assert [(0,)] == store.select("SELECT amended FROM current_verdicts", {})
    amended = verdict(outcome=Outcome.FLAGGED, by="judge")
    write(store, amended)
    assert amended == store.verdict("c1", "c1-m1")
    assert [(1,)] == store.select("SELECT amended FROM current_verdicts", {})
    store.close()


def test_sqlite_file_of_the_third_version_is_taken_over(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "events.db")
    store._db.executescript(
        "DROP VIEW current_dead_letters; PRAGMA user_version = 3;"
        "CREATE VIEW current_dead_letters AS SELECT 'dropped' AS status FROM dead_letter_events"
    )
    store.write_dead_letters([DeadLetterEvent(Origin("advisor.messages", 0, 1), "open", START)])
    store.close()
    store = SqliteEventStore(tmp_path / "events.db")
    assert 1 == store.counts().dead_letters
    store.close()


V1 = """
CREATE TABLE messages (arrival INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE,
    conversation_id TEXT NOT NULL, sent_us INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL,
    topic TEXT, partition_no INTEGER, offset_no INTEGER);
CREATE INDEX messages_by_conversation ON messages (conversation_id, sent_us, seq, arrival);
CREATE TABLE verdicts (message_id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, position INTEGER NOT NULL,
    detected_us INTEGER NOT NULL, outcome TEXT NOT NULL, needs_review INTEGER NOT NULL, body BLOB NOT NULL,
    topic TEXT, partition_no INTEGER, offset_no INTEGER) WITHOUT ROWID;
CREATE INDEX verdicts_by_position ON verdicts (position);
CREATE INDEX verdicts_for_review ON verdicts (needs_review, position);
PRAGMA user_version = 1;
"""


def test_sqlite_file_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    spoken, judged = message(1, text="保本"), verdict("c1-m1", outcome=Outcome.FLAGGED)
    body = encode_verdict(judged).replace(b',"content_hash":""', b"")
    old = sqlite3.connect(tmp_path / "events.db")
    old.executescript(V1)
    row = ("c1-m1", "c1", microseconds(spoken.sent_at), -1, encode_message(spoken))
    old.execute("INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, NULL, NULL, NULL)", row)
    at = microseconds(judged.detected_at)
    old.execute(
        "INSERT INTO verdicts VALUES ('c1-m1', 'c1', 7, ?, 'flagged', 1, ?, NULL, NULL, NULL)", (at, body)
    )
    old.commit()
    old.close()
    store = SqliteEventStore(tmp_path / "events.db")
    assert [spoken] == store.conversation("c1")
    assert replace(judged, content_hash=content_hash(spoken)) == store.verdict("c1", "c1-m1")
    store.write_messages([StoredMessage(spoken)])
    assert StoreCounts(1, 1, 1, 0) == store.counts()
    store.close()
