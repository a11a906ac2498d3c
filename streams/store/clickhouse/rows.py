"""Values as rows of the ClickHouse tables, column by column as declared in `tables`."""

from datetime import UTC, datetime
from typing import Any

import orjson

from detectors.domain import Message, Verdict
from streams.codec import encode_message, encode_verdict, restore_message
from streams.dead_letter_events import DeadLetterEvent
from streams.identity import message_key, verdict_key
from streams.ledger import LedgerRecord
from streams.reviews import Review
from streams.store.base import Origin, StoredMessage, StoredVerdict, needs_review
from streams.store.rows import microseconds

# DateTime holds seconds since 1970 in 32 bits; a wrong clock far away must not stop the sink.
FIRST_SECOND = datetime(1970, 1, 2, tzinfo=UTC)
LAST_SECOND = datetime(2105, 12, 31, tzinfo=UTC)
LAST_STAMP = 2**63 - 1
# Above every time in microseconds (until the year 2255); the views of migration 10 take it off again.
AMENDED = 2**53


def message_from(text: str, rest: str) -> Message:
    """The message that a row holds."""
    return restore_message({**orjson.loads(rest), "text": text})


def message_row(row: StoredMessage, stamp: int) -> tuple[Any, ...]:
    """A row of `messages`; `stamp` is the time of writing in microseconds."""
    message, origin = row.message, row.origin or Origin("", 0, stamp)
    rest = orjson.loads(encode_message(message))
    del rest["text"]
    return (
        *message_key(message),
        second(message.sent_at),
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
        *_place(origin),
        stamp,
        LAST_STAMP - stamp,
    )


def verdict_row(row: StoredVerdict, stamp: int) -> tuple[Any, ...]:
    """A row of `verdicts`."""
    verdict, origin = row.verdict, row.origin or Origin("", 0, stamp)
    findings = verdict.findings
    sources = [(finding.label, source) for finding in findings for source in finding.sources]
    return (
        *verdict_key(verdict),
        second(verdict.detected_at),
        _version(verdict),
        verdict.outcome.value,
        verdict.priority,
        int(verdict.degraded),
        int(needs_review(verdict)),
        list(verdict.queue_reasons),
        [finding.label for finding in findings],
        [finding.severity.value for finding in findings],
        [finding.score for finding in findings],
        [label for label, _ in sources],
        [source.kind for _, source in sources],
        [source.id for _, source in sources],
        [source.version for _, source in sources],
        verdict.versions.catalogue,
        verdict.versions.pack,
        verdict.versions.model or "",
        verdict.latency_ms,
        encode_verdict(verdict).decode(),
        *_place(origin),
        stamp,
    )


def review_row(row: Review, stamp: int) -> tuple[Any, ...]:
    """A row of `reviews`."""
    return (
        row.review_id,
        row.seq,
        row.case_id,
        row.conversation_id,
        row.message_id,
        row.content_hash,
        row.action,
        list(row.labels),
        list(row.machine_labels),
        row.reviewer,
        second(row.at),
        microseconds(row.at),
        row.shown,
        row.catalogue,
        row.pack,
        row.model or "",
        row.code,
        stamp,
    )


def ledger_row(row: LedgerRecord, stamp: int) -> tuple[Any, ...]:
    """A row of `ledger`."""
    said = (row.actor, row.action, row.version, row.previous or "", list(row.reasons))
    return (row.entry_id, row.kind, microseconds(row.at), *said, stamp)


def dead_letter_row(row: DeadLetterEvent, stamp: int) -> tuple[Any, ...]:
    """A row of `dead_letter_events`."""
    said = (row.reason, row.detail, row.stack_digest, row.size, row.sha256, int(row.complete))
    return (*_place(row.origin), row.status, microseconds(row.at), *said, row.actor, row.why, stamp)


def second(moment: datetime) -> datetime:
    """The moment within what DateTime can hold."""
    return min(max(moment.astimezone(UTC), FIRST_SECOND), LAST_SECOND)


def _version(verdict: Verdict) -> int:
    """The row with the greatest one is kept: see `Verdict.standing`."""
    time_us = min(max(0, microseconds(verdict.detected_at)), AMENDED - 1)
    return AMENDED + time_us if verdict.amended else time_us


def _place(origin: Origin) -> tuple[str, int, int]:
    return (origin.topic, origin.partition, origin.offset)
