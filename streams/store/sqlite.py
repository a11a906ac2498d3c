"""The event store in one SQLite file: for one machine, the embedded default."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from detectors.domain import Message, Verdict
from streams.codec import decode_verdict, encode_message, encode_verdict, restore_message
from streams.dead_letter_events import DeadLetterEvent
from streams.errors import StoreError
from streams.identity import MessageKey, message_key
from streams.ledger import LedgerRecord
from streams.reviews import Review
from streams.store.base import (
    Origin,
    ReviewCursor,
    StoreCounts,
    Stored,
    StoredMessage,
    StoredVerdict,
    needs_review,
)
from streams.store.rows import first_day, microseconds, moment, month_bounds
from streams.store.sqlite_schema import SCHEMA_VERSION, prepare

BUSY_TIMEOUT_SEC = 10.0
# All verdicts of a file are one stream for those who read them for review.
STREAM = "file"
NO_ORIGIN = Origin("", 0, -1)
INSERT_MESSAGE = """
INSERT INTO messages (conversation_id, message_id, content_hash, sent_us, seq, body, topic, partition_no, offset_no)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (conversation_id, message_id, content_hash) DO NOTHING
"""
# A repeat of the same verdict keeps its position, so that reviewers do not see it again.
UPSERT_VERDICT = """
INSERT INTO verdicts (conversation_id, message_id, content_hash, detected_us, outcome, priority, needs_review,
                      body, topic, partition_no, offset_no, amended, position)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(position), 0) + 1 FROM verdicts))
ON CONFLICT (conversation_id, message_id, content_hash) DO UPDATE SET
    detected_us = excluded.detected_us, outcome = excluded.outcome, priority = excluded.priority,
    needs_review = excluded.needs_review, body = excluded.body, topic = excluded.topic,
    partition_no = excluded.partition_no, offset_no = excluded.offset_no, amended = excluded.amended,
    position = excluded.position
WHERE (excluded.amended, excluded.detected_us) >= (verdicts.amended, verdicts.detected_us)
    AND excluded.body <> verdicts.body
"""
INSERT_REVIEW = f"INSERT OR IGNORE INTO reviews VALUES ({', '.join('?' * 16)})"  # noqa: S608 - no values in it
INSERT_LEDGER = f"INSERT OR IGNORE INTO ledger VALUES ({', '.join('?' * 8)})"  # noqa: S608 - no values in it
INSERT_DEAD_LETTER = f"INSERT OR IGNORE INTO dead_letter_events VALUES ({', '.join('?' * 13)})"  # noqa: S608 - no values in it
VERDICT = """
SELECT body FROM verdicts WHERE conversation_id = ? AND message_id = ? AND content_hash = coalesce(?, content_hash)
ORDER BY CASE outcome WHEN 'flagged' THEN 0 WHEN 'undecided' THEN 1 ELSE 2 END, detected_us DESC LIMIT 1
"""


class SqliteEventStore:
    """
    An EventStore in one file, or in memory for `:memory:`.

    May be used by several threads, and the file by several processes. A file of an earlier
    version is brought to this one. Raises StoreError when the file cannot be opened or
    was written by a later version.
    """

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._path = str(path)
        if self._path != ":memory:":
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        with self._translated():
            self._db = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_SEC, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._prepare()

    def write_messages(self, rows: Sequence[StoredMessage]) -> None:
        """See `EventStore.write_messages`. Content that came before under the same id stays as it was."""
        self._write(INSERT_MESSAGE, [_message_row(row) for row in rows])

    def write_verdicts(self, rows: Sequence[StoredVerdict]) -> None:
        """See `EventStore.write_verdicts`."""
        self._write(UPSERT_VERDICT, [_verdict_row(row) for row in rows])

    def write_reviews(self, rows: Sequence[Review]) -> None:
        """See `EventStore.write_reviews`."""
        self._write(INSERT_REVIEW, [_review_row(row) for row in rows])

    def write_ledger(self, rows: Sequence[LedgerRecord]) -> None:
        """See `EventStore.write_ledger`."""
        self._write(INSERT_LEDGER, [_ledger_row(row) for row in rows])

    def write_dead_letters(self, rows: Sequence[DeadLetterEvent]) -> None:
        """See `EventStore.write_dead_letters`."""
        self._write(INSERT_DEAD_LETTER, [_dead_letter_row(row) for row in rows])

    def message(self, conversation_id: str, message_id: str, content: str | None = None) -> Message | None:
        """See `EventStore.message`."""
        rows = self._read(
            "SELECT body FROM messages WHERE conversation_id = ? AND message_id = ? "
            "AND content_hash = coalesce(?, content_hash) ORDER BY arrival DESC LIMIT 1",
            (conversation_id, message_id, content),
        )
        return restore_message(rows[0][0]) if rows else None

    def conversation(self, conversation_id: str) -> list[Message]:
        """See `EventStore.conversation`."""
        rows = self._read(
            "SELECT body FROM messages WHERE conversation_id = ? ORDER BY sent_us, seq, arrival",
            (conversation_id,),
        )
        return [restore_message(body) for (body,) in rows]

    def verdict(self, conversation_id: str, message_id: str, content: str | None = None) -> Verdict | None:
        """See `EventStore.verdict`."""
        rows = self._read(
            VERDICT,
            (conversation_id, message_id, content),
        )
        return decode_verdict(rows[0][0]) if rows else None

    def verdicts(self, keys: Sequence[MessageKey]) -> dict[MessageKey, Verdict]:
        """See `EventStore.verdicts`."""
        found = {}
        for key in keys:
            rows = self._read(
                "SELECT body FROM verdicts WHERE conversation_id = ? AND message_id = ? AND content_hash = ?",
                tuple(key),
            )
            if rows:
                found[key] = decode_verdict(rows[0][0])
        return found

    def present(self, kind: Stored, keys: Sequence[MessageKey]) -> set[MessageKey]:
        """See `EventStore.present`."""
        query = f"SELECT 1 FROM {kind} WHERE conversation_id = ? AND message_id = ? AND content_hash = ?"  # noqa: S608
        return {key for key in keys if self._read(query, tuple(key))}

    def verdicts_for_review(
        self, after: ReviewCursor | None, limit: int
    ) -> tuple[list[Verdict], ReviewCursor | None]:
        """See `EventStore.verdicts_for_review`."""
        since = after.positions.get(STREAM, 0) if after else 0
        rows = self._read(
            "SELECT position, body FROM verdicts WHERE needs_review = 1 AND position > ? "
            "ORDER BY position LIMIT ?",
            (since, limit),
        )
        if not rows:
            return [], after
        return [decode_verdict(body) for _, body in rows], ReviewCursor({STREAM: rows[-1][0]})

    def select(self, query: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """See `EventStore.select`."""
        return self._read(query, dict(values))

    def counts(self) -> StoreCounts:
        """See `EventStore.counts`."""
        ((messages,),) = self._read("SELECT count(*) FROM messages", ())
        ((verdicts, flagged, undecided),) = self._read(
            "SELECT count(*), coalesce(sum(outcome = 'flagged'), 0), coalesce(sum(outcome = 'undecided'), 0) "
            "FROM verdicts",
            (),
        )
        ((dead,),) = self._read("SELECT count(*) FROM current_dead_letters WHERE status = 'open'", ())
        return StoreCounts(messages, verdicts, flagged, undecided, dead)

    def months(self) -> list[date]:
        """See `EventStore.months`."""
        ends = "SELECT min({0}), max({0}) FROM {1}"
        found = []
        for column, table in (("sent_us", "messages"), ("detected_us", "verdicts")):
            ((first, last),) = self._read(ends.format(column, table), ())
            month = None if first is None else first_day(moment(first).date())
            while month is not None and microseconds_of_month(month) <= last:
                start, end = month_bounds(month)
                inside = f"SELECT 1 FROM {table} WHERE {column} >= ? AND {column} < ? LIMIT 1"  # noqa: S608
                if self._read(inside, (start, end)):
                    found.append(month)
                month = moment(end).date()
        return sorted(set(found))

    def drop_month(self, month: date) -> None:
        """See `EventStore.drop_month`."""
        bounds = month_bounds(month)
        self._write("DELETE FROM messages WHERE sent_us >= ? AND sent_us < ?", [bounds])
        self._write("DELETE FROM verdicts WHERE detected_us >= ? AND detected_us < ?", [bounds])

    def close(self) -> None:
        """See `EventStore.close`."""
        with self._lock:
            self._db.close()

    def _prepare(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            ((version,),) = self._db.execute("PRAGMA user_version").fetchall()
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self._path} was written by a later redline (version {version}, this one knows "
                    f"{SCHEMA_VERSION}): update redline, or give another file",
                    retryable=False,
                )
            if version < SCHEMA_VERSION:
                prepare(self._db, version)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        with self._lock, self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def _read(self, statement: str, values: tuple[object, ...] | dict[str, object]) -> list[tuple[Any, ...]]:
        with self._lock, self._translated():
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            retryable = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
            raise StoreError(f"the event store {self._path}: {error}", retryable=retryable) from error


def microseconds_of_month(month: date) -> int:
    """The first microsecond of a month."""
    return month_bounds(month)[0]


def _message_row(row: StoredMessage) -> tuple[object, ...]:
    message = row.message
    return (
        *message_key(message),
        microseconds(message.sent_at),
        -1 if message.seq is None else message.seq,
        encode_message(message).decode(),
        *_origin(row),
    )


def _verdict_row(row: StoredVerdict) -> tuple[object, ...]:
    verdict = row.verdict
    return (
        verdict.conversation_id,
        verdict.message_id,
        verdict.content_hash,
        microseconds(verdict.detected_at),
        verdict.outcome.value,
        verdict.priority,
        int(needs_review(verdict)),
        encode_verdict(verdict).decode(),
        *_origin(row),
        int(verdict.amended),
    )


def _review_row(row: Review) -> tuple[object, ...]:
    return (
        row.review_id,
        row.seq,
        row.case_id,
        row.conversation_id,
        row.message_id,
        row.content_hash,
        row.action,
        orjson.dumps(row.labels).decode(),
        orjson.dumps(row.machine_labels).decode(),
        row.reviewer,
        microseconds(row.at),
        row.shown,
        row.catalogue,
        row.pack,
        row.model or "",
        row.code,
    )


def _ledger_row(row: LedgerRecord) -> tuple[object, ...]:
    reasons = orjson.dumps(row.reasons).decode()
    at_us = microseconds(row.at)
    return (row.entry_id, row.kind, at_us, row.actor, row.action, row.version, row.previous or "", reasons)


def _dead_letter_row(row: DeadLetterEvent) -> tuple[object, ...]:
    origin = (row.origin.topic, row.origin.partition, row.origin.offset)
    said = (row.reason, row.detail, row.stack_digest, row.size, row.sha256, int(row.complete))
    return (*origin, row.status, microseconds(row.at), *said, row.actor, row.why)


def _origin(row: StoredMessage | StoredVerdict) -> tuple[str, int, int]:
    origin = row.origin or NO_ORIGIN
    return (origin.topic, origin.partition, origin.offset)
