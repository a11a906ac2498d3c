"""
A message is known by its conversation, its id and what was said: ids of two conversations may be equal,
and an id may be sent again with another text. The first arrival stays: `precedence` falls with time.

The hash is that of `streams.identity`. Rows are copied; stop the sink before.
"""

COLUMNS = """conversation_id, message_id, {hash}, sent_at, sent_us, seq, speaker, channel, language, advisor_id,
    customer_id, branch, product_code, text, rest, topic, partition_no, offset_no, stored_us"""
HASH = "lower(substring(hex(SHA256(concat('said', '\\0', toString(speaker), '\\0', text))), 1, 32))"

FORWARD = (
    "DROP TABLE IF EXISTS messages_by_content",
    """
CREATE TABLE messages_by_content (
    conversation_id String,
    message_id String,
    content_hash String,
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
    stored_us Int64,
    precedence UInt64
) ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(sent_at)
ORDER BY (conversation_id, message_id, content_hash)
SETTINGS index_granularity = 1024
""",
    f"""
INSERT INTO messages_by_content
SELECT {COLUMNS.format(hash=HASH + " AS content_hash")}, toUInt64(9223372036854775807 - stored_us) AS precedence
FROM messages
""",  # noqa: S608 - nothing from outside
    "DROP TABLE messages",
    "RENAME TABLE messages_by_content TO messages",
)

BACK = (
    "DROP TABLE IF EXISTS messages_by_id",
    """
CREATE TABLE messages_by_id (
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
    """
INSERT INTO messages_by_id
SELECT message_id, conversation_id, sent_at, sent_us, seq, speaker, channel, language, advisor_id,
    customer_id, branch, product_code, text, rest, topic, partition_no, offset_no, stored_us
FROM messages
""",
    "DROP TABLE messages",
    "RENAME TABLE messages_by_id TO messages",
)
