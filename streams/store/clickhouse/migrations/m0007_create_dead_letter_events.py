"""Which records failed, and what was done about them. Their bytes stay on the broker."""

FORWARD = (
    """
CREATE TABLE IF NOT EXISTS dead_letter_events (
    topic LowCardinality(String),
    partition_no UInt32,
    offset_no Int64,
    status Enum8('open' = 1, 'replayed' = 2, 'dropped' = 3),
    at_us Int64,
    reason LowCardinality(String),
    detail String,
    stack_digest String,
    size UInt64,
    sha256 String,
    complete UInt8,
    actor String,
    why String,
    stored_us Int64
) ENGINE = ReplacingMergeTree
PARTITION BY tuple()
ORDER BY (topic, partition_no, offset_no, status, at_us)
SETTINGS index_granularity = 1024
""",
)

BACK = ("DROP TABLE IF EXISTS dead_letter_events",)
