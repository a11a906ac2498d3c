"""What reviewers decided and withdrew. No words of customers, no notes. Kept when messages go."""

FORWARD = (
    """
CREATE TABLE IF NOT EXISTS reviews (
    review_id String,
    seq UInt64,
    case_id String,
    conversation_id String,
    message_id String,
    content_hash String,
    action Enum8('confirm' = 1, 'dismiss' = 2, 'relabel' = 3, 'reopen' = 4),
    labels Array(String),
    machine_labels Array(String),
    reviewer LowCardinality(String),
    decided_at DateTime('UTC'),
    at_us Int64,
    shown String,
    catalogue LowCardinality(String),
    pack LowCardinality(String),
    model LowCardinality(String),
    code LowCardinality(String),
    stored_us Int64
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(decided_at)
ORDER BY (case_id, seq, review_id)
SETTINGS index_granularity = 1024
""",
)

BACK = ("DROP TABLE IF EXISTS reviews",)
