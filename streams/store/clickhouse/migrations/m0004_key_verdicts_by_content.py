"""
A verdict is known by the message that it judged: conversation, id and content. So a clean verdict
on other words under the same id hides nothing. Which rule or model found what is kept in columns.

Rows are copied; a verdict given before this migration gets the content of its message.
"""

FORWARD = (
    "DROP TABLE IF EXISTS verdicts_by_content",
    """
CREATE TABLE verdicts_by_content (
    conversation_id String,
    message_id String,
    content_hash String,
    detected_at DateTime('UTC'),
    version UInt64,
    outcome Enum8('clean' = 0, 'flagged' = 1, 'undecided' = 2),
    priority UInt8,
    degraded UInt8,
    needs_review UInt8,
    queue_reasons Array(String),
    findings Nested (label String, severity String, score Float64),
    sources Nested (label String, kind String, id String, version String),
    catalogue LowCardinality(String),
    pack LowCardinality(String),
    model LowCardinality(String),
    latency_ms Float64,
    body String,
    topic LowCardinality(String),
    partition_no UInt32,
    offset_no Int64,
    stored_us Int64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(detected_at)
ORDER BY (conversation_id, message_id, content_hash)
SETTINGS index_granularity = 1024
""",
    """
INSERT INTO verdicts_by_content (conversation_id, message_id, content_hash, detected_at, version, outcome,
    priority, degraded, needs_review, queue_reasons, `findings.label`, `findings.severity`, `findings.score`,
    catalogue, pack, model, latency_ms, body, topic, partition_no, offset_no, stored_us)
SELECT conversation_id, message_id, known, detected_at, version, outcome,
    priority, degraded, needs_review, queue_reasons, `findings.label`, `findings.severity`, `findings.score`,
    catalogue, pack, model, latency_ms, body, topic, partition_no, offset_no, stored_us
FROM verdicts ANY LEFT JOIN (
    SELECT conversation_id, message_id, content_hash AS known FROM messages
) AS m USING (conversation_id, message_id)
""",
    "DROP TABLE verdicts",
    "RENAME TABLE verdicts_by_content TO verdicts",
)

BACK = (
    "DROP TABLE IF EXISTS verdicts_by_id",
    """
CREATE TABLE verdicts_by_id (
    message_id String,
    conversation_id String,
    detected_at DateTime('UTC'),
    version UInt64,
    outcome Enum8('clean' = 0, 'flagged' = 1, 'undecided' = 2),
    priority UInt8,
    degraded UInt8,
    needs_review UInt8,
    queue_reasons Array(String),
    findings Nested (label String, severity String, score Float64),
    catalogue LowCardinality(String),
    pack LowCardinality(String),
    model LowCardinality(String),
    latency_ms Float64,
    body String,
    topic LowCardinality(String),
    partition_no UInt32,
    offset_no Int64,
    stored_us Int64
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(detected_at)
ORDER BY message_id
SETTINGS index_granularity = 1024
""",
    """
INSERT INTO verdicts_by_id (message_id, conversation_id, detected_at, version, outcome,
    priority, degraded, needs_review, queue_reasons, `findings.label`, `findings.severity`, `findings.score`,
    catalogue, pack, model, latency_ms, body, topic, partition_no, offset_no, stored_us)
SELECT message_id, conversation_id, detected_at, version, outcome,
    priority, degraded, needs_review, queue_reasons, `findings.label`, `findings.severity`, `findings.score`,
    catalogue, pack, model, latency_ms, body, topic, partition_no, offset_no, stored_us
FROM verdicts
""",
    "DROP TABLE verdicts",
    "RENAME TABLE verdicts_by_id TO verdicts",
)
