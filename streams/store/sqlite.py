"""The event store in one SQLite file: for one machine, the embedded default."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from detectors.domain import Message, Verdict
from streams.codec import decode_message, decode_verdict, encode_message, encode_verdict
from streams.errors import StoreError
from streams.store.base import ReviewCursor, StoreCounts, StoredMessage, StoredVerdict, needs_review

SCHEMA_VERSION = 1
BUSY_TIMEOUT_SEC = 10.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SCHEMA = """
CREATE TABLE messages (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL UNIQUE,
    conversation_id TEXT NOT NULL,
    sent_us INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    topic TEXT, partition_no INTEGER, offset_no INTEGER
);
CREATE INDEX messages_by_conversation ON messages (conversation_id, sent_us, seq, arrival);
CREATE TABLE verdicts (
    message_id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    detected_us INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    needs_review INTEGER NOT NULL,
    body BLOB NOT NULL,
    topic TEXT, partition_no INTEGER, offset_no INTEGER
) WITHOUT ROWID;
CREATE INDEX verdicts_by_position ON verdicts (position);
CREATE INDEX verdicts_for_review ON verdicts (needs_review, position);
"""
INSERT_MESSAGE = """
INSERT INTO messages (message_id, conversation_id, sent_us, seq, body, topic, partition_no, offset_no)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (message_id) DO NOTHING
"""
# A repeat of the same verdict keeps its position, so that reviewers do not see it again.
UPSERT_VERDICT = """
INSERT INTO verdicts (message_id, conversation_id, detected_us, outcome, needs_review, body,
                      topic, partition_no, offset_no, position)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(position), 0) + 1 FROM verdicts))
ON CONFLICT (message_id) DO UPDATE SET
    conversation_id = excluded.conversation_id, detected_us = excluded.detected_us,
    outcome = excluded.outcome, needs_review = excluded.needs_review, body = excluded.body,
    topic = excluded.topic, partition_no = excluded.partition_no, offset_no = excluded.offset_no,
    position = excluded.position
WHERE excluded.detected_us >= verdicts.detected_us AND excluded.body <> verdicts.body
"""


class SqliteEventStore:
    """
    An EventStore in one file, or in memory for `:memory:`.

    May be used by several threads, and the file by several processes. Raises
    StoreError when the file cannot be opened or was written by a later version.
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
        """See `EventStore.write_messages`. A message that came before under the same id stays as it was."""
        self._write(INSERT_MESSAGE, [_message_row(row) for row in rows])

    def write_verdicts(self, rows: Sequence[StoredVerdict]) -> None:
        """See `EventStore.write_verdicts`."""
        self._write(UPSERT_VERDICT, [_verdict_row(row) for row in rows])

    def message(self, message_id: str) -> Message | None:
        """See `EventStore.message`."""
        rows = self._read("SELECT body FROM messages WHERE message_id = ?", (message_id,))
        return decode_message(rows[0][0]) if rows else None

    def conversation(self, conversation_id: str) -> list[Message]:
        """See `EventStore.conversation`."""
        rows = self._read(
            "SELECT body FROM messages WHERE conversation_id = ? ORDER BY sent_us, seq, arrival",
            (conversation_id,),
        )
        return [decode_message(body) for (body,) in rows]

    def verdict(self, message_id: str) -> Verdict | None:
        """See `EventStore.verdict`."""
        rows = self._read("SELECT body FROM verdicts WHERE message_id = ?", (message_id,))
        return decode_verdict(rows[0][0]) if rows else None

    def verdicts_for_review(
        self, after: ReviewCursor | None, limit: int
    ) -> tuple[list[Verdict], ReviewCursor | None]:
        """See `EventStore.verdicts_for_review`."""
        rows = self._read(
            "SELECT position, message_id, body FROM verdicts WHERE needs_review = 1 AND position > ? "
            "ORDER BY position LIMIT ?",
            (after.position if after else 0, limit),
        )
        if not rows:
            return [], after
        return [decode_verdict(body) for _, _, body in rows], ReviewCursor(rows[-1][0], rows[-1][1])

    def counts(self) -> StoreCounts:
        """See `EventStore.counts`."""
        ((messages,),) = self._read("SELECT count(*) FROM messages", ())
        ((verdicts, flagged, undecided),) = self._read(
            "SELECT count(*), coalesce(sum(outcome = 'flagged'), 0), coalesce(sum(outcome = 'undecided'), 0) "
            "FROM verdicts",
            (),
        )
        return StoreCounts(messages, verdicts, flagged, undecided)

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
            if version == 0:
                for statement in filter(str.strip, SCHEMA.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
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

    def _read(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock, self._translated():
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            retryable = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
            raise StoreError(f"the event store {self._path}: {error}", retryable=retryable) from error


def microseconds(moment: datetime) -> int:
    """Exact microseconds since 1970, also for moments before it."""
    return (moment - EPOCH) // MICROSECOND


def _message_row(row: StoredMessage) -> tuple[object, ...]:
    message = row.message
    seq = -1 if message.seq is None else message.seq
    sent_us = microseconds(message.sent_at)
    body = encode_message(message)
    return (message.message_id, message.conversation_id, sent_us, seq, body, *_origin(row))


def _verdict_row(row: StoredVerdict) -> tuple[object, ...]:
    verdict = row.verdict
    return (
        verdict.message_id,
        verdict.conversation_id,
        microseconds(verdict.detected_at),
        verdict.outcome.value,
        int(needs_review(verdict)),
        encode_verdict(verdict),
        *_origin(row),
    )


def _origin(row: StoredMessage | StoredVerdict) -> tuple[str | None, int | None, int | None]:
    origin = row.origin
    return (None, None, None) if origin is None else (origin.topic, origin.partition, origin.offset)
