"""
What the queries read: every row once, whatever was written twice and not merged yet.

Times are microseconds since 1970. They are computed from columns that are no partition key, so that
a filter on them cannot hide a newer row of another month. SQLite has the same views.
"""

DECISION = "case_id, conversation_id, message_id, content_hash, reviewer, at_us, pack, model"

FORWARD = (
    """
CREATE VIEW IF NOT EXISTS current_messages AS
SELECT conversation_id, message_id, content_hash, sent_us, seq, toString(speaker) AS speaker,
    toString(channel) AS channel, advisor_id, customer_id, branch, product_code,
    toString(topic) AS topic, partition_no, offset_no
FROM messages FINAL
""",
    """
CREATE VIEW IF NOT EXISTS current_verdicts AS
SELECT conversation_id, message_id, content_hash, toInt64(version) AS detected_us, toString(outcome) AS outcome,
    priority, degraded, needs_review, toString(catalogue) AS catalogue, toString(pack) AS pack,
    toString(model) AS model, latency_ms, toString(topic) AS topic, partition_no, offset_no
FROM verdicts FINAL
""",
    """
CREATE VIEW IF NOT EXISTS current_findings AS
SELECT conversation_id, message_id, content_hash, detected_us, outcome, label, severity, score
FROM (
    SELECT conversation_id, message_id, content_hash, toInt64(version) AS detected_us,
        toString(outcome) AS outcome, findings.label AS labels, findings.severity AS severities,
        findings.score AS scores
    FROM verdicts FINAL
) ARRAY JOIN labels AS label, severities AS severity, scores AS score
""",
    """
CREATE VIEW IF NOT EXISTS current_sources AS
SELECT conversation_id, message_id, content_hash, detected_us, outcome, label, kind, source_id, source_version
FROM (
    SELECT conversation_id, message_id, content_hash, toInt64(version) AS detected_us,
        toString(outcome) AS outcome, sources.label AS labels, sources.kind AS kinds,
        sources.id AS ids, sources.version AS versions
    FROM verdicts FINAL
) ARRAY JOIN labels AS label, kinds AS kind, ids AS source_id, versions AS source_version
""",
    """
CREATE VIEW IF NOT EXISTS current_decisions AS
SELECT * FROM (
    SELECT case_id, any(conversation_id) AS conversation_id, any(message_id) AS message_id,
        any(content_hash) AS content_hash, toString(argMax(action, seq)) AS action,
        argMax(labels, seq) AS labels, argMax(machine_labels, seq) AS machine_labels,
        toString(argMax(reviewer, seq)) AS reviewer, argMax(at_us, seq) AS at_us, argMax(shown, seq) AS shown,
        toString(argMax(catalogue, seq)) AS catalogue, toString(argMax(pack, seq)) AS pack,
        toString(argMax(model, seq)) AS model, toString(argMax(code, seq)) AS code
    FROM reviews GROUP BY case_id
) WHERE action != 'reopen'
""",
    f"""
CREATE VIEW IF NOT EXISTS current_decision_labels AS
SELECT {DECISION}, label, has(machine_labels, label) AS machine, has(labels, label) AS person
FROM (
    SELECT {DECISION}, labels, machine_labels,
        arrayDistinct(arrayConcat(machine_labels, labels)) AS either
    FROM current_decisions
) ARRAY JOIN either AS label
""",  # noqa: S608 - nothing from outside
    """
CREATE VIEW IF NOT EXISTS current_ledger AS
SELECT entry_id, toString(kind) AS kind, at_us, actor, toString(action) AS action, version, previous
FROM ledger FINAL
""",
    """
CREATE VIEW IF NOT EXISTS current_dead_letters AS
SELECT topic, partition_no, offset_no, if(resolved_us > 0, resolution, 'open') AS status, failed_us, letters,
    reason, detail, stack_digest, size, resolved_us, actor, why
FROM (
    SELECT toString(topic) AS topic, partition_no, offset_no,
        maxIf(at_us, status = 'open') AS failed_us, uniqExactIf(at_us, status = 'open') AS letters,
        argMaxIf(toString(reason), at_us, status = 'open') AS reason,
        argMaxIf(detail, at_us, status = 'open') AS detail,
        argMaxIf(stack_digest, at_us, status = 'open') AS stack_digest,
        maxIf(size, status = 'open') AS size,
        maxIf(at_us, status != 'open') AS resolved_us,
        argMaxIf(toString(status), at_us, status != 'open') AS resolution,
        argMaxIf(actor, at_us, status != 'open') AS actor,
        argMaxIf(why, at_us, status != 'open') AS why
    FROM dead_letter_events
    GROUP BY topic, partition_no, offset_no
) WHERE letters > 0
""",
    """
CREATE VIEW IF NOT EXISTS hourly_counts AS
SELECT detected_us - detected_us % (3600 * 1000000) AS hour_us, outcome, count() AS verdicts
FROM current_verdicts GROUP BY hour_us, outcome
""",
)

BACK = (
    "DROP TABLE IF EXISTS hourly_counts",
    "DROP TABLE IF EXISTS current_dead_letters",
    "DROP TABLE IF EXISTS current_ledger",
    "DROP TABLE IF EXISTS current_decision_labels",
    "DROP TABLE IF EXISTS current_decisions",
    "DROP TABLE IF EXISTS current_sources",
    "DROP TABLE IF EXISTS current_findings",
    "DROP TABLE IF EXISTS current_verdicts",
    "DROP TABLE IF EXISTS current_messages",
)
