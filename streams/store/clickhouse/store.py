"""The event store on ClickHouse."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from detectors.domain import Message, Verdict
from streams.codec import decode_message, decode_verdict, encode_message, encode_verdict
from streams.errors import StoreError
from streams.store.base import (
    Origin,
    ReviewCursor,
    StoreCounts,
    StoredMessage,
    StoredVerdict,
    needs_review,
)
from streams.store.clickhouse.client import ClickHouseClient
from streams.store.clickhouse.migrate import differences
from streams.store.clickhouse.tables import MESSAGES, TABLES, VERDICTS
from streams.store.sqlite import microseconds

# A row is stamped before it is inserted. A reader for review stays this far behind, so that
# rows which another writer stamped earlier and inserted later are not passed over.
DEFAULT_SETTLE = timedelta(seconds=1)
NO_ORIGIN = Origin("", 0, -1)
# DateTime holds seconds since 1970 in 32 bits; a wrong clock far away must not stop the sink.
FIRST_SECOND = datetime(1970, 1, 2, tzinfo=UTC)
LAST_SECOND = datetime(2105, 12, 31, tzinfo=UTC)

LATEST_VERDICT = """
SELECT message_id, argMax(body, (version, stored_us)) AS latest
FROM verdicts WHERE message_id IN %(ids)s GROUP BY message_id
"""
REVIEW_PAGE = """
SELECT stored_us, message_id FROM verdicts
WHERE needs_review = 1 AND stored_us <= %(horizon)s
  AND (stored_us > %(position)s OR (stored_us = %(position)s AND message_id > %(message_id)s))
ORDER BY stored_us, message_id LIMIT %(limit)s
"""
COUNT_VERDICTS = """
SELECT count(), sum(outcome_now = 'flagged'), sum(outcome_now = 'undecided')
FROM (
    SELECT message_id, argMax(outcome, (version, stored_us)) AS outcome_now FROM verdicts GROUP BY message_id
)
"""
CONVERSATION = """
SELECT text, rest FROM messages WHERE conversation_id = %(id)s
ORDER BY sent_us, seq, stored_us, partition_no, offset_no, message_id
LIMIT 1 BY message_id
"""


class ClickHouseEventStore:
    """
    An EventStore on ClickHouse 18.16 or later. One connection, one thread at a time.

    The tables must be migrated: raises StoreError that names the command when they are
    not. `clock` stamps the rows; `settle` is how far readers for review stay behind.
    """

    def __init__(
        self,
        client: ClickHouseClient,
        *,
        clock: Callable[[], datetime],
        settle: timedelta = DEFAULT_SETTLE,
    ) -> None:
        self._client = client
        self._clock = clock
        self._settle_us = microseconds_of(settle)
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
        stamp = self._stamp()
        self._client.insert(MESSAGES, tuple(TABLES[MESSAGES]), [_message_row(row, stamp) for row in rows])

    def write_verdicts(self, rows: Sequence[StoredVerdict]) -> None:
        """See `EventStore.write_verdicts`."""
        stamp = self._stamp()
        columns = [f"`{name}`" if "." in name else name for name in TABLES[VERDICTS]]
        self._client.insert(VERDICTS, columns, [_verdict_row(row, stamp) for row in rows])

    def message(self, message_id: str) -> Message | None:
        """See `EventStore.message`. Reads the column of ids: for single look-ups, not for loops."""
        rows = self._client.query(
            "SELECT text, rest FROM messages WHERE message_id = %(id)s ORDER BY stored_us LIMIT 1",
            {"id": message_id},
        )
        return _message(*rows[0]) if rows else None

    def conversation(self, conversation_id: str) -> list[Message]:
        """See `EventStore.conversation`."""
        return [_message(*row) for row in self._client.query(CONVERSATION, {"id": conversation_id})]

    def verdict(self, message_id: str) -> Verdict | None:
        """See `EventStore.verdict`."""
        return self._latest([message_id]).get(message_id)

    def verdicts_for_review(
        self, after: ReviewCursor | None, limit: int
    ) -> tuple[list[Verdict], ReviewCursor | None]:
        """See `EventStore.verdicts_for_review`. Verdicts appear here `settle` after they were written."""
        since = after or ReviewCursor(-1, "")
        page = self._client.query(
            REVIEW_PAGE,
            {
                "horizon": microseconds(self._clock()) - self._settle_us,
                "position": since.position,
                "message_id": since.message_id,
                "limit": limit,
            },
        )
        if not page:
            return [], after
        ids = list(dict.fromkeys(message_id for _, message_id in page))
        latest = self._latest(ids)
        verdicts = [latest[message_id] for message_id in ids if needs_review(latest[message_id])]
        return verdicts, ReviewCursor(*page[-1])

    def counts(self) -> StoreCounts:
        """See `EventStore.counts`."""
        ((messages,),) = self._client.query("SELECT uniqExact(message_id) FROM messages")
        ((verdicts, flagged, undecided),) = self._client.query(COUNT_VERDICTS)
        return StoreCounts(int(messages), int(verdicts), int(flagged), int(undecided))

    def close(self) -> None:
        """See `EventStore.close`."""
        self._client.close()

    def _latest(self, ids: Sequence[str]) -> dict[str, Verdict]:
        rows = self._client.query(LATEST_VERDICT, {"ids": tuple(ids)})
        return {message_id: decode_verdict(body) for message_id, body in rows}

    def _stamp(self) -> int:
        self._last_stamp = max(self._last_stamp + 1, microseconds(self._clock()))
        return self._last_stamp


def microseconds_of(span: timedelta) -> int:
    """A span in microseconds."""
    return span // timedelta(microseconds=1)


def _message(text: str, rest: str) -> Message:
    return decode_message({**orjson.loads(rest), "text": text})


def _message_row(row: StoredMessage, stamp: int) -> tuple[Any, ...]:
    message, origin = row.message, row.origin or NO_ORIGIN
    rest = orjson.loads(encode_message(message))
    del rest["text"]
    return (
        message.message_id,
        message.conversation_id,
        _second(message.sent_at),
        microseconds(message.sent_at),
        -1 if message.seq is None else message.seq,
        message.speaker.value,
        message.channel or "",
        message.language,
        message.advisor_id or "",
        message.customer_id or "",
        message.branch or "",
        (message.product.code or "") if message.product else "",
        message.text,
        orjson.dumps(rest).decode(),
        origin.topic,
        origin.partition,
        origin.offset,
        stamp,
    )


def _verdict_row(row: StoredVerdict, stamp: int) -> tuple[Any, ...]:
    verdict, origin = row.verdict, row.origin or NO_ORIGIN
    findings = verdict.findings
    return (
        verdict.message_id,
        verdict.conversation_id,
        _second(verdict.detected_at),
        max(0, microseconds(verdict.detected_at)),
        verdict.outcome.value,
        verdict.priority,
        int(verdict.degraded),
        int(needs_review(verdict)),
        list(verdict.queue_reasons),
        [finding.label for finding in findings],
        [finding.severity.value for finding in findings],
        [finding.score for finding in findings],
        verdict.versions.catalogue,
        verdict.versions.pack,
        verdict.versions.model or "",
        verdict.latency_ms,
        encode_verdict(verdict).decode(),
        origin.topic,
        origin.partition,
        origin.offset,
        stamp,
    )


def _second(moment: datetime) -> datetime:
    return min(max(moment.astimezone(UTC), FIRST_SECOND), LAST_SECOND)
