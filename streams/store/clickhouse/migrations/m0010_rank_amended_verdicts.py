"""
A verdict that the LLM judge amended stands above every other on the same words, whichever comes last.

`version`, by which the engine keeps one row of several, gets the bit 2^53 for such a verdict, so that
neither the order of arrival nor a clock counts. The views take it off again to tell the time.
Going back, the rows are copied: what stands now stands later, and `version` is a time again.
"""

VIEWS = ("hourly_counts", "current_sources", "current_findings", "current_verdicts")
DROP_VIEWS = tuple(f"DROP TABLE IF EXISTS {name}" for name in VIEWS)


def _views(detected_us: str, amended: str) -> tuple[str, ...]:
    return (
        f"""
CREATE VIEW current_verdicts AS
SELECT conversation_id, message_id, content_hash, {detected_us} AS detected_us, toString(outcome) AS outcome,
    priority, degraded, needs_review,{amended} toString(catalogue) AS catalogue, toString(pack) AS pack,
    toString(model) AS model, latency_ms, toString(topic) AS topic, partition_no, offset_no
FROM verdicts FINAL
""",  # noqa: S608 - nothing from outside
        f"""
CREATE VIEW current_findings AS
SELECT conversation_id, message_id, content_hash, detected_us, outcome, label, severity, score
FROM (
    SELECT conversation_id, message_id, content_hash, {detected_us} AS detected_us,
        toString(outcome) AS outcome, findings.label AS labels, findings.severity AS severities,
        findings.score AS scores
    FROM verdicts FINAL
) ARRAY JOIN labels AS label, severities AS severity, scores AS score
""",  # noqa: S608
        f"""
CREATE VIEW current_sources AS
SELECT conversation_id, message_id, content_hash, detected_us, outcome, label, kind, source_id, source_version
FROM (
    SELECT conversation_id, message_id, content_hash, {detected_us} AS detected_us,
        toString(outcome) AS outcome, sources.label AS labels, sources.kind AS kinds,
        sources.id AS ids, sources.version AS versions
    FROM verdicts FINAL
) ARRAY JOIN labels AS label, kinds AS kind, ids AS source_id, versions AS source_version
""",  # noqa: S608
        """
CREATE VIEW hourly_counts AS
SELECT detected_us - detected_us % (3600 * 1000000) AS hour_us, outcome, count() AS verdicts
FROM current_verdicts GROUP BY hour_us, outcome
""",
    )


COLUMNS = """conversation_id, message_id, content_hash, detected_at, version, outcome, priority, degraded,
    needs_review, queue_reasons, `findings.label`, `findings.severity`, `findings.score`,
    `sources.label`, `sources.kind`, `sources.id`, `sources.version`,
    catalogue, pack, model, latency_ms, body, topic, partition_no, offset_no, stored_us"""

FORWARD = (
    *DROP_VIEWS,
    *_views(
        "toInt64(bitAnd(version, 9007199254740991))",
        " toUInt8(version >= 9007199254740992) AS amended,",
    ),
)

BACK = (
    *DROP_VIEWS,
    "DROP TABLE IF EXISTS review_queue_feed",
    "DROP TABLE IF EXISTS verdicts_by_time",
    """
CREATE TABLE verdicts_by_time (
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
    f"""
INSERT INTO verdicts_by_time ({COLUMNS})
SELECT {COLUMNS.replace(" version,", " bitAnd(version, 9007199254740991) AS version,", 1)}
FROM verdicts FINAL
""",  # noqa: S608 - nothing from outside
    "DROP TABLE verdicts",
    "RENAME TABLE verdicts_by_time TO verdicts",
    """
CREATE MATERIALIZED VIEW review_queue_feed TO review_queue AS
SELECT topic, partition_no, offset_no, conversation_id, message_id, content_hash, detected_at
FROM verdicts WHERE needs_review = 1
""",
    *_views("toInt64(version)", ""),
)
