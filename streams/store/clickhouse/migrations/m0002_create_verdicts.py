"""
Verdicts. Of those on one message the one detected last stays: `version` is its time in microseconds.

Merging keeps one per month of detection; readers ask for the latest over all months.
"""

FORWARD = (
    """
CREATE TABLE IF NOT EXISTS verdicts (
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
)

BACK = ("DROP TABLE IF EXISTS verdicts",)
