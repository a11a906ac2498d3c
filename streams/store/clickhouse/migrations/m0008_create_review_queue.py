"""
The verdicts that a person should see, in the order of the broker's offsets: what the desk reads on.

Filled by the database from every insert into `verdicts`, so both are written or neither.
"""

FORWARD = (
    "DROP TABLE IF EXISTS review_queue_feed",
    "DROP TABLE IF EXISTS review_queue",
    """
CREATE TABLE review_queue (
    topic LowCardinality(String),
    partition_no UInt32,
    offset_no Int64,
    conversation_id String,
    message_id String,
    content_hash String,
    detected_at DateTime('UTC')
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(detected_at)
ORDER BY (topic, partition_no, offset_no)
SETTINGS index_granularity = 1024
""",
    """
CREATE MATERIALIZED VIEW review_queue_feed TO review_queue AS
SELECT topic, partition_no, offset_no, conversation_id, message_id, content_hash, detected_at
FROM verdicts WHERE needs_review = 1
""",
    """
INSERT INTO review_queue
SELECT topic, partition_no, if(topic = '', stored_us, offset_no), conversation_id, message_id, content_hash, detected_at
FROM verdicts WHERE needs_review = 1
""",
)

BACK = ("DROP TABLE IF EXISTS review_queue_feed", "DROP TABLE IF EXISTS review_queue")
