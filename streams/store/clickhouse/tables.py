"""The tables as the code expects them: compared with the migrated database by a test and by `doctor`."""

from collections.abc import Mapping

MESSAGES = "messages"
VERDICTS = "verdicts"

ORIGIN = {"topic": "LowCardinality(String)", "partition_no": "UInt32", "offset_no": "Int64"}
OUTCOMES = "Enum8('clean' = 0, 'flagged' = 1, 'undecided' = 2)"

TABLES: Mapping[str, Mapping[str, str]] = {
    MESSAGES: {
        "message_id": "String",
        "conversation_id": "String",
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
    },
    VERDICTS: {
        "message_id": "String",
        "conversation_id": "String",
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
        "catalogue": "LowCardinality(String)",
        "pack": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "latency_ms": "Float64",
        "body": "String",
        **ORIGIN,
        "stored_us": "Int64",
    },
}
