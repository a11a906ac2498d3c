"""What happened to models and rule packs. A few rows a week, kept for good."""

FORWARD = (
    """
CREATE TABLE IF NOT EXISTS ledger (
    entry_id String,
    kind LowCardinality(String),
    at_us Int64,
    actor String,
    action LowCardinality(String),
    version String,
    previous String,
    reasons Array(String),
    stored_us Int64
) ENGINE = ReplacingMergeTree
PARTITION BY tuple()
ORDER BY entry_id
""",
)

BACK = ("DROP TABLE IF EXISTS ledger",)
