"""The tables and views of the embedded store, and how files of earlier versions become this one."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace

from streams.codec import decode_verdict, encode_verdict, restore_message
from streams.identity import message_key, verdict_key

SCHEMA_VERSION = 4

TABLES = """
CREATE TABLE messages (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    sent_us INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    topic TEXT NOT NULL, partition_no INTEGER NOT NULL, offset_no INTEGER NOT NULL,
    UNIQUE (conversation_id, message_id, content_hash)
);
CREATE INDEX messages_by_conversation ON messages (conversation_id, sent_us, seq, arrival);
CREATE INDEX messages_by_time ON messages (sent_us);
CREATE TABLE verdicts (
    conversation_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    position INTEGER NOT NULL,
    detected_us INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    priority INTEGER NOT NULL,
    needs_review INTEGER NOT NULL,
    body TEXT NOT NULL,
    topic TEXT NOT NULL, partition_no INTEGER NOT NULL, offset_no INTEGER NOT NULL,
    amended INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, message_id, content_hash)
) WITHOUT ROWID;
CREATE INDEX verdicts_by_position ON verdicts (position);
CREATE INDEX verdicts_for_review ON verdicts (needs_review, position);
CREATE INDEX verdicts_by_time ON verdicts (detected_us);
CREATE TABLE reviews (
    review_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    case_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL, message_id TEXT NOT NULL, content_hash TEXT NOT NULL,
    action TEXT NOT NULL,
    labels TEXT NOT NULL,
    machine_labels TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    shown TEXT NOT NULL,
    catalogue TEXT NOT NULL, pack TEXT NOT NULL, model TEXT NOT NULL, code TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX reviews_by_case ON reviews (case_id, seq);
CREATE TABLE ledger (
    entry_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    version TEXT NOT NULL,
    previous TEXT NOT NULL,
    reasons TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE dead_letter_events (
    topic TEXT NOT NULL, partition_no INTEGER NOT NULL, offset_no INTEGER NOT NULL,
    status TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, stack_digest TEXT NOT NULL,
    size INTEGER NOT NULL, sha256 TEXT NOT NULL, complete INTEGER NOT NULL,
    actor TEXT NOT NULL, why TEXT NOT NULL,
    PRIMARY KEY (topic, partition_no, offset_no, status, at_us)
) WITHOUT ROWID
"""

# The views for questions in SQL; ClickHouse has the same under the same names.
VIEWS: Mapping[str, str] = {
    "current_messages": """
SELECT conversation_id, message_id, content_hash, sent_us, seq,
    json_extract(body, '$.speaker') AS speaker,
    coalesce(json_extract(body, '$.channel'), '') AS channel,
    coalesce(json_extract(body, '$.advisor_id'), '') AS advisor_id,
    coalesce(json_extract(body, '$.customer_id'), '') AS customer_id,
    coalesce(json_extract(body, '$.branch'), '') AS branch,
    coalesce(json_extract(body, '$.product.code'), '') AS product_code,
    topic, partition_no, offset_no
FROM messages
""",
    "current_verdicts": """
SELECT conversation_id, message_id, content_hash, detected_us, outcome, priority,
    json_extract(body, '$.degraded') AS degraded,
    needs_review, amended,
    json_extract(body, '$.versions.catalogue') AS catalogue,
    json_extract(body, '$.versions.pack') AS pack,
    coalesce(json_extract(body, '$.versions.model'), '') AS model,
    json_extract(body, '$.latency_ms') AS latency_ms,
    topic, partition_no, offset_no
FROM verdicts
""",
    "current_findings": """
SELECT v.conversation_id, v.message_id, v.content_hash, v.detected_us, v.outcome,
    json_extract(f.value, '$.label') AS label,
    json_extract(f.value, '$.severity') AS severity,
    json_extract(f.value, '$.score') AS score
FROM verdicts AS v, json_each(v.body, '$.findings') AS f
""",
    "current_sources": """
SELECT v.conversation_id, v.message_id, v.content_hash, v.detected_us, v.outcome,
    json_extract(f.value, '$.label') AS label,
    json_extract(s.value, '$.kind') AS kind,
    json_extract(s.value, '$.id') AS source_id,
    json_extract(s.value, '$.version') AS source_version
FROM verdicts AS v, json_each(v.body, '$.findings') AS f, json_each(f.value, '$.sources') AS s
""",
    "current_decisions": """
SELECT * FROM (
    SELECT case_id, conversation_id, message_id, content_hash, action, labels, machine_labels, reviewer,
        at_us, shown, catalogue, pack, model, code, max(seq) AS seq
    FROM reviews GROUP BY case_id
) WHERE action <> 'reopen'
""",
    "current_decision_labels": """
SELECT d.case_id, d.conversation_id, d.message_id, d.content_hash, d.reviewer, d.at_us, d.pack, d.model,
    l.value AS label, 1 AS machine,
    EXISTS (SELECT 1 FROM json_each(d.labels) AS p WHERE p.value = l.value) AS person
FROM current_decisions AS d, json_each(d.machine_labels) AS l
UNION ALL
SELECT d.case_id, d.conversation_id, d.message_id, d.content_hash, d.reviewer, d.at_us, d.pack, d.model,
    l.value AS label, 0 AS machine, 1 AS person
FROM current_decisions AS d, json_each(d.labels) AS l
WHERE NOT EXISTS (SELECT 1 FROM json_each(d.machine_labels) AS m WHERE m.value = l.value)
""",
    "current_ledger": """
SELECT entry_id, kind, at_us, actor, action, version, previous FROM ledger
""",
    "current_dead_letters": """
SELECT f.topic AS topic, f.partition_no AS partition_no, f.offset_no AS offset_no,
    coalesce(r.status, 'open') AS status, f.failed_us AS failed_us, f.letters AS letters,
    f.reason AS reason, f.detail AS detail, f.stack_digest AS stack_digest, f.size AS size,
    coalesce(r.resolved_us, 0) AS resolved_us, coalesce(r.actor, '') AS actor, coalesce(r.why, '') AS why
FROM (
    SELECT topic, partition_no, offset_no, reason, detail, stack_digest, size,
        max(at_us) AS failed_us, count(*) AS letters
    FROM dead_letter_events WHERE status = 'open' GROUP BY topic, partition_no, offset_no
) AS f LEFT JOIN (
    SELECT topic, partition_no, offset_no, status, actor, why, max(at_us) AS resolved_us
    FROM dead_letter_events WHERE status <> 'open' GROUP BY topic, partition_no, offset_no
) AS r ON r.topic = f.topic AND r.partition_no = f.partition_no AND r.offset_no = f.offset_no
    AND r.resolved_us >= f.failed_us
""",
    "hourly_counts": """
SELECT detected_us - detected_us % (3600 * 1000000) AS hour_us, outcome, count(*) AS verdicts
FROM verdicts GROUP BY hour_us, outcome
""",
}


def prepare(db: sqlite3.Connection, version: int) -> None:
    """Bring an open file from `version` (0: empty) to `SCHEMA_VERSION`, within the caller's transaction."""
    if version == 0:
        _create(db)
    for step in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
        _UPGRADES[step](db)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _create(db: sqlite3.Connection) -> None:
    for statement in filter(str.strip, TABLES.split(";")):
        db.execute(statement)
    for name, body in VIEWS.items():
        db.execute(f"CREATE VIEW {name} AS {body}")


def _from_1(db: sqlite3.Connection) -> None:
    """Version 1 knew a message by its id alone, and verdicts did not say which words they judged."""
    for name in ("messages", "verdicts"):
        db.execute(f"ALTER TABLE {name} RENAME TO {name}_v1")
    for name in (
        "messages_by_conversation",
        "verdicts_by_position",
        "verdicts_for_review",
    ):
        db.execute(f"DROP INDEX {name}")
    _create(db)
    for row in db.execute(
        "SELECT body, sent_us, seq, topic, partition_no, offset_no FROM messages_v1 ORDER BY arrival"
    ):
        message = restore_message(row[0])
        db.execute(
            "INSERT INTO messages (conversation_id, message_id, content_hash, sent_us, seq, body, topic, "
            "partition_no, offset_no) VALUES (?, ?, ?, ?, ?, ?, coalesce(?, ''), coalesce(?, 0), coalesce(?, -1))",
            (*message_key(message), row[1], row[2], row[0].decode(), *row[3:]),
        )
    judged = db.execute(
        "SELECT v.body, coalesce(m.content_hash, ''), v.position, v.detected_us, v.needs_review, v.topic, "
        "v.partition_no, v.offset_no FROM verdicts_v1 AS v LEFT JOIN messages AS m USING (conversation_id, message_id)"
    )
    for body, content, position, detected_us, review, *origin in judged:
        verdict = replace(decode_verdict(body), content_hash=content)
        db.execute(
            "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce(?, ''), coalesce(?, 0), coalesce(?, -1), 0)",
            (
                *verdict_key(verdict),
                position,
                detected_us,
                verdict.outcome.value,
                verdict.priority,
                review,
                encode_verdict(verdict).decode(),
                *origin,
            ),
        )
    db.execute("DROP TABLE messages_v1")
    db.execute("DROP TABLE verdicts_v1")


def _from_2(db: sqlite3.Connection) -> None:
    """Version 2 knew no verdicts that a judge amended."""
    if any(column[1] == "amended" for column in db.execute("PRAGMA table_info(verdicts)")):
        return  # made anew on the way from version 1
    db.execute("DROP VIEW current_verdicts")
    db.execute("ALTER TABLE verdicts ADD COLUMN amended INTEGER NOT NULL DEFAULT 0")
    db.execute(f"CREATE VIEW current_verdicts AS {VIEWS['current_verdicts']}")


def _from_3(db: sqlite3.Connection) -> None:
    """Version 3 took a letter for resolved also where the note was older than the letter."""
    db.execute("DROP VIEW current_dead_letters")
    db.execute(f"CREATE VIEW current_dead_letters AS {VIEWS['current_dead_letters']}")


_UPGRADES: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _from_1, 2: _from_2, 3: _from_3}
