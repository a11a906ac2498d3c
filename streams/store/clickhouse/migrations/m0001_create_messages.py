"""
Messages. A repeat of a record replaces itself, for ORDER BY holds nothing but the message.

`text` and `rest` together are the message exactly as it came. Retention: drop partitions, by month sent.
"""

FORWARD = (
    """
CREATE TABLE IF NOT EXISTS messages (
    message_id String,
    conversation_id String,
    sent_at DateTime('UTC'),
    sent_us Int64,
    seq Int64,
    speaker LowCardinality(String),
    channel LowCardinality(String),
    language LowCardinality(String),
    advisor_id String,
    customer_id String,
    branch String,
    product_code String,
    text String,
    rest String,
    topic LowCardinality(String),
    partition_no UInt32,
    offset_no Int64,
    stored_us Int64
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(sent_at)
ORDER BY (conversation_id, sent_at, message_id)
SETTINGS index_granularity = 1024
""",
)

BACK = ("DROP TABLE IF EXISTS messages",)
