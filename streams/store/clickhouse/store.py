"""The event store on ClickHouse."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, TypeVar

from detectors.domain import Message, Verdict
from streams.codec import decode_verdict
from streams.dead_letter_events import DeadLetterEvent
from streams.errors import StoreError
from streams.identity import MessageKey
from streams.ledger import LedgerRecord
from streams.reviews import Review
from streams.store.base import ReviewCursor, StoreCounts, Stored, StoredMessage, StoredVerdict, needs_review
from streams.store.clickhouse.client import Client
from streams.store.clickhouse.migrate import differences
from streams.store.clickhouse.rows import (
    dead_letter_row,
    ledger_row,
    message_from,
    message_row,
    review_row,
    verdict_row,
)
from streams.store.clickhouse.tables import (
    BY_MONTH,
    DEAD_LETTER_EVENTS,
    LEDGER,
    MESSAGES,
    REVIEWS,
    TABLES,
    VERDICTS,
)
from streams.store.rows import microseconds

# Lists of keys go into the text of a query, whose length the server bounds (256 KiB by default).
MAX_KEYS_CHARS = 40_000
PLACEHOLDER = re.compile(r":([a-z_]+)\b")

LATEST_VERDICTS = """
SELECT conversation_id, message_id, content_hash, body FROM verdicts FINAL
WHERE (conversation_id, message_id, content_hash) IN %(keys)s
"""
PRESENT = """
SELECT DISTINCT conversation_id, message_id, content_hash FROM {table}
WHERE (conversation_id, message_id, content_hash) IN %(keys)s
"""
VERDICT = """
SELECT content_hash, body FROM verdicts FINAL
WHERE conversation_id = %(conversation_id)s AND message_id = %(message_id)s {content}
ORDER BY multiIf(outcome = 'flagged', 0, outcome = 'undecided', 1, 2), version DESC LIMIT 1
"""
MESSAGE = """
SELECT text, rest FROM messages FINAL
WHERE conversation_id = %(conversation_id)s AND message_id = %(message_id)s {content}
ORDER BY stored_us DESC, offset_no DESC LIMIT 1
"""
ONE_CONTENT = "AND content_hash = %(content)s"
CONVERSATION = """
SELECT text, rest FROM messages FINAL WHERE conversation_id = %(id)s
ORDER BY sent_us, seq, stored_us, partition_no, offset_no, message_id
"""
STREAMS = (
    "SELECT topic, partition_no FROM review_queue GROUP BY topic, partition_no ORDER BY topic, partition_no"
)
REVIEW_PAGE = """
SELECT topic, partition_no, offset_no, conversation_id, message_id, content_hash FROM review_queue
WHERE {streams} ORDER BY offset_no, topic, partition_no LIMIT %(limit)s
"""
REVIEW_PLACE = """
SELECT topic, partition_no, offset_no, conversation_id, message_id, content_hash FROM review_queue
WHERE topic = %(topic)s AND partition_no = %(partition)s AND offset_no = %(offset)s
"""
COUNT_VERDICTS = """
SELECT count(), sum(outcome = 'flagged'), sum(outcome = 'undecided') FROM current_verdicts
"""
COUNT_DEAD = "SELECT count() FROM current_dead_letters WHERE status = 'open'"
MONTHS = """
SELECT DISTINCT partition FROM system.parts
WHERE database = currentDatabase() AND table IN %(tables)s AND active
"""
T = TypeVar("T")


class ClickHouseEventStore:
    """
    An EventStore on ClickHouse 18.16 or later. One connection, one thread at a time.

    The tables must be migrated: raises StoreError that names the command when they are
    not. `clock` stamps the rows; nothing is ordered by it but the arrival of messages sent
    at the same moment, and verdicts written without a broker.
    """

    def __init__(self, client: Client, *, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._last_stamp = 0
        wrong = differences(client)
        if wrong:
            raise StoreError(
                f"the tables in ClickHouse at {client.address} are not as this redline needs them; "
                f"run `redline migrate`. First difference: {wrong[0]}",
                retryable=False,
            )

    def write_messages(self, rows: Sequence[StoredMessage]) -> None:
        """See `EventStore.write_messages`."""
        self._insert(MESSAGES, message_row, rows)

    def write_verdicts(self, rows: Sequence[StoredVerdict]) -> None:
        """See `EventStore.write_verdicts`."""
        self._insert(VERDICTS, verdict_row, rows)

    def write_reviews(self, rows: Sequence[Review]) -> None:
        """See `EventStore.write_reviews`."""
        self._insert(REVIEWS, review_row, rows)

    def write_ledger(self, rows: Sequence[LedgerRecord]) -> None:
        """See `EventStore.write_ledger`."""
        self._insert(LEDGER, ledger_row, rows)

    def write_dead_letters(self, rows: Sequence[DeadLetterEvent]) -> None:
        """See `EventStore.write_dead_letters`."""
        self._insert(DEAD_LETTER_EVENTS, dead_letter_row, rows)

    def message(self, conversation_id: str, message_id: str, content: str | None = None) -> Message | None:
        """See `EventStore.message`."""
        rows = self._one(MESSAGE, conversation_id, message_id, content)
        return message_from(*rows[0]) if rows else None

    def conversation(self, conversation_id: str) -> list[Message]:
        """See `EventStore.conversation`."""
        return [message_from(*row) for row in self._client.query(CONVERSATION, {"id": conversation_id})]

    def verdict(self, conversation_id: str, message_id: str, content: str | None = None) -> Verdict | None:
        """See `EventStore.verdict`."""
        rows = self._one(VERDICT, conversation_id, message_id, content)
        return _verdict(*rows[0]) if rows else None

    def verdicts(self, keys: Sequence[MessageKey]) -> dict[MessageKey, Verdict]:
        """See `EventStore.verdicts`."""
        found = {}
        for some in _chunks(keys):
            for *key, body in self._client.query(LATEST_VERDICTS, {"keys": some}):
                found[MessageKey(*key)] = _verdict(key[2], body)
        return found

    def present(self, kind: Stored, keys: Sequence[MessageKey]) -> set[MessageKey]:
        """See `EventStore.present`."""
        query = PRESENT.format(table=kind)
        return {
            MessageKey(*row) for some in _chunks(keys) for row in self._client.query(query, {"keys": some})
        }

    def verdicts_for_review(
        self, after: ReviewCursor | None, limit: int
    ) -> tuple[list[Verdict], ReviewCursor | None]:
        """See `EventStore.verdicts_for_review`."""
        since = after or ReviewCursor()
        streams = self._client.query(STREAMS)
        if not streams:
            return [], after
        values: dict[str, object] = {"limit": limit}
        conditions = []
        for number, (topic, partition) in enumerate(streams):
            values[f"topic{number}"] = topic
            values[f"offset{number}"] = since.positions.get(f"{topic}/{partition}", -1)
            conditions.append(
                f"(topic = %(topic{number})s AND partition_no = {int(partition)} AND offset_no > %(offset{number})s)"
            )
        page = self._client.query(REVIEW_PAGE.format(streams=" OR ".join(conditions)), values)
        if not page:
            return [], after
        if len(page) == limit:
            # Where the topic was made anew, an offset has two verdicts, and the page may end between them.
            topic, partition, offset, *_ = page[-1]
            place = {"topic": topic, "partition": partition, "offset": offset}
            page += self._client.query(REVIEW_PLACE, place)
        reached = {f"{topic}/{partition}": int(offset) for topic, partition, offset, *_ in page}
        keys = list(dict.fromkeys(MessageKey(*row[3:]) for row in page))
        latest = self.verdicts(keys)
        # A verdict may have gone with its month since.
        return [latest[key] for key in keys if key in latest and needs_review(latest[key])], since.moved(
            reached
        )

    def select(self, query: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """See `EventStore.select`."""
        # The driver puts values into the text with Python's %, but only where there are any.
        text = query.replace("%", "%%") if values else query
        return self._client.query(PLACEHOLDER.sub(r"%(\1)s", text), values)

    def counts(self) -> StoreCounts:
        """See `EventStore.counts`."""
        ((messages,),) = self._client.query(
            "SELECT uniqExact(conversation_id, message_id, content_hash) FROM messages"
        )
        ((verdicts, flagged, undecided),) = self._client.query(COUNT_VERDICTS)
        ((dead,),) = self._client.query(COUNT_DEAD)
        return StoreCounts(int(messages), int(verdicts), int(flagged), int(undecided), int(dead))

    def months(self) -> list[date]:
        """See `EventStore.months`."""
        rows = self._client.query(MONTHS, {"tables": BY_MONTH})
        return sorted({date(int(name[:4]), int(name[4:6]), 1) for (name,) in rows})

    def drop_month(self, month: date) -> None:
        """See `EventStore.drop_month`."""
        for table in BY_MONTH:
            self._client.run(f"ALTER TABLE {table} DROP PARTITION {month:%Y%m}")

    def close(self) -> None:
        """See `EventStore.close`."""
        self._client.close()

    def _insert(self, table: str, to_row: Callable[[T, int], tuple[Any, ...]], rows: Sequence[T]) -> None:
        columns = [f"`{name}`" if "." in name else name for name in TABLES[table]]
        first = self._stamps(len(rows))
        self._client.insert(
            table, columns, [to_row(row, stamp) for stamp, row in enumerate(rows, start=first)]
        )

    def _one(
        self, query: str, conversation_id: str, message_id: str, content: str | None
    ) -> list[tuple[Any, ...]]:
        values = {"conversation_id": conversation_id, "message_id": message_id, "content": content}
        return self._client.query(query.format(content="" if content is None else ONE_CONTENT), values)

    def _stamps(self, count: int) -> int:
        """The first of `count` stamps that this process gives once."""
        first = max(self._last_stamp + 1, microseconds(self._clock()))
        self._last_stamp = first + count - 1
        return first


def _chunks(keys: Sequence[MessageKey]) -> Iterator[tuple[tuple[str, ...], ...]]:
    """The keys in lists that fit into a query, however long the ids are and however they are escaped."""
    some: list[tuple[str, ...]] = []
    chars = 0
    for key in keys:
        some.append(tuple(key))
        chars += sum(map(len, key))
        if chars >= MAX_KEYS_CHARS:
            yield tuple(some)
            some, chars = [], 0
    if some:
        yield tuple(some)


def _verdict(content: str, body: str) -> Verdict:
    """The column says which words were judged; the text of verdicts of redline 0.1 does not."""
    return replace(decode_verdict(body), content_hash=content)
