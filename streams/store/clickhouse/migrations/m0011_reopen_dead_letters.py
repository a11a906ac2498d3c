"""
A note that was taken before a record failed says nothing of it: the letter is open.

Offsets begin at 0 again where the topic was made anew, so a place may have had a letter before.
"""

LETTERS = """
    SELECT toString(topic) AS topic, partition_no, offset_no,
        maxIf(at_us, status = 'open') AS failed_us, uniqExactIf(at_us, status = 'open') AS letters,
        argMaxIf(toString(reason), at_us, status = 'open') AS reason,
        argMaxIf(detail, at_us, status = 'open') AS detail,
        argMaxIf(stack_digest, at_us, status = 'open') AS stack_digest,
        {size} AS size,
        maxIf(at_us, status != 'open') AS {prefix}resolved_us,
        argMaxIf(toString(status), at_us, status != 'open') AS resolution,
        argMaxIf(actor, at_us, status != 'open') AS {prefix}actor,
        argMaxIf(why, at_us, status != 'open') AS {prefix}why
    FROM dead_letter_events
    GROUP BY topic, partition_no, offset_no
"""
DROP = "DROP TABLE IF EXISTS current_dead_letters"

FORWARD = (
    DROP,
    f"""
CREATE VIEW current_dead_letters AS
SELECT topic, partition_no, offset_no, if(last_resolved_us >= failed_us, resolution, 'open') AS status,
    failed_us, letters, reason, detail, stack_digest, size,
    if(last_resolved_us >= failed_us, last_resolved_us, toInt64(0)) AS resolved_us,
    if(last_resolved_us >= failed_us, last_actor, '') AS actor,
    if(last_resolved_us >= failed_us, last_why, '') AS why
FROM ({LETTERS.format(prefix="last_", size="argMaxIf(size, at_us, status = 'open')")}) WHERE letters > 0
""",  # noqa: S608 - nothing from outside
)

BACK = (
    DROP,
    f"""
CREATE VIEW current_dead_letters AS
SELECT topic, partition_no, offset_no, if(resolved_us > 0, resolution, 'open') AS status, failed_us, letters,
    reason, detail, stack_digest, size, resolved_us, actor, why
FROM ({LETTERS.format(prefix="", size="maxIf(size, status = 'open')")}) WHERE letters > 0
""",  # noqa: S608
)
