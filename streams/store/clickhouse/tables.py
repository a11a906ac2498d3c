"""The tables as the code expects them: compared with the database when the store opens."""

from collections.abc import Mapping

MESSAGES = "messages"
VERDICTS = "verdicts"
REVIEWS = "reviews"
LEDGER = "ledger"
DEAD_LETTER_EVENTS = "dead_letter_events"
REVIEW_QUEUE = "review_queue"
# Months of these may be dropped; decisions, ledgers and dead letters are small and stay.
BY_MONTH = (MESSAGES, VERDICTS, REVIEW_QUEUE)

KEY = {"conversation_id": "String", "message_id": "String", "content_hash": "String"}
ORIGIN = {"topic": "LowCardinality(String)", "partition_no": "UInt32", "offset_no": "Int64"}
OUTCOMES = "Enum8('clean' = 0, 'flagged' = 1, 'undecided' = 2)"
ACTIONS = "Enum8('confirm' = 1, 'dismiss' = 2, 'relabel' = 3, 'reopen' = 4)"
STATUSES = "Enum8('open' = 1, 'replayed' = 2, 'dropped' = 3)"

TABLES: Mapping[str, Mapping[str, str]] = {
    MESSAGES: {
        **KEY,
        "sent_at": "DateTime('UTC')",
        "sent_us": "Int64",
        "seq": "Int64",
        "speaker": "LowCardinality(String)",
        "channel": "LowCardinality(String)",
        "language": "LowCardinality(String)",
        "advisor_id": "String",
        "customer_id": "String",
        "branch": "String",
        "product_code": "String",
        "text": "String",
        "rest": "String",
        **ORIGIN,
        "stored_us": "Int64",
        "precedence": "UInt64",
    },
    VERDICTS: {
        **KEY,
        "detected_at": "DateTime('UTC')",
        "version": "UInt64",
        "outcome": OUTCOMES,
        "priority": "UInt8",
        "degraded": "UInt8",
        "needs_review": "UInt8",
        "queue_reasons": "Array(String)",
        "findings.label": "Array(String)",
        "findings.severity": "Array(String)",
        "findings.score": "Array(Float64)",
        "sources.label": "Array(String)",
        "sources.kind": "Array(String)",
        "sources.id": "Array(String)",
        "sources.version": "Array(String)",
        "catalogue": "LowCardinality(String)",
        "pack": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "latency_ms": "Float64",
        "body": "String",
        **ORIGIN,
        "stored_us": "Int64",
    },
    REVIEWS: {
        "review_id": "String",
        "seq": "UInt64",
        "case_id": "String",
        **KEY,
        "action": ACTIONS,
        "labels": "Array(String)",
        "machine_labels": "Array(String)",
        "reviewer": "LowCardinality(String)",
        "decided_at": "DateTime('UTC')",
        "at_us": "Int64",
        "shown": "String",
        "catalogue": "LowCardinality(String)",
        "pack": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "code": "LowCardinality(String)",
        "stored_us": "Int64",
    },
    LEDGER: {
        "entry_id": "String",
        "kind": "LowCardinality(String)",
        "at_us": "Int64",
        "actor": "String",
        "action": "LowCardinality(String)",
        "version": "String",
        "previous": "String",
        "reasons": "Array(String)",
        "stored_us": "Int64",
    },
    DEAD_LETTER_EVENTS: {
        **ORIGIN,
        "status": STATUSES,
        "at_us": "Int64",
        "reason": "LowCardinality(String)",
        "detail": "String",
        "stack_digest": "String",
        "size": "UInt64",
        "sha256": "String",
        "complete": "UInt8",
        "actor": "String",
        "why": "String",
        "stored_us": "Int64",
    },
    REVIEW_QUEUE: {**ORIGIN, **KEY, "detected_at": "DateTime('UTC')"},
}
