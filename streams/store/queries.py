"""
Every question that reports, backtests and commands ask of the stored events, in one place.

The SQL runs unchanged on SQLite, on ClickHouse 18.16 and on the modern engine: it reads the
`current_…` views, in which every row stands once, keeps to integer microseconds, names every
sub-query, and uses no window functions. Ranges hold their start and not their end.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from streams.store.rows import microseconds, moment

PAGE = 500


class Selecting(Protocol):
    """What is asked: an EventStore."""

    def select(self, query: str, values: dict[str, object]) -> list[tuple[Any, ...]]:
        """The rows of a query with `:name` places."""


class HourCount(NamedTuple):
    """Verdicts given within one hour, by outcome. `hour` is its beginning in UTC."""

    hour: datetime
    clean: int
    flagged: int
    undecided: int


class LabelCount(NamedTuple):
    """Flagged messages with a label, and in how many conversations."""

    label: str
    messages: int
    conversations: int


class SourceCount(NamedTuple):
    """Flagged messages that a rule, a model or a case found."""

    kind: str
    source_id: str
    label: str
    messages: int


class AdvisorCount(NamedTuple):
    """An advisor's messages, and those of them that were flagged."""

    advisor_id: str
    branch: str
    messages: int
    flagged: int


class LabelQuality(NamedTuple):
    """
    What reviewers said of a label: `said` by the machine, `agreed` of those, `added` by people.

    Precision is agreed ÷ said. `added` counts only messages that came to a reviewer, so it is no recall.
    """

    label: str
    said: int
    agreed: int
    added: int


class SourceQuality(NamedTuple):
    """What reviewers said of the findings of one rule, model or case."""

    kind: str
    source_id: str
    label: str
    said: int
    agreed: int


class ReviewerCount(NamedTuple):
    """Standing decisions of a reviewer, by action."""

    reviewer: str
    action: str
    cases: int


class ReasonCount(NamedTuple):
    """Dead letters by reason, place in the code and status."""

    reason: str
    stack_digest: str
    status: str
    letters: int


class VersionUse(NamedTuple):
    """Which versions judged, how often, from when to when."""

    catalogue: str
    pack: str
    model: str
    verdicts: int
    first: datetime
    last: datetime


def messages_per_hour(store: Selecting, start: datetime, end: datetime) -> list[tuple[datetime, int]]:
    """Messages by the hour they were sent in; hours without any are left out."""
    rows = store.select(
        """
SELECT sent_us - sent_us % (3600 * 1000000) AS hour_us, count(*) AS messages FROM current_messages
WHERE sent_us >= :start AND sent_us < :end GROUP BY hour_us ORDER BY hour_us
""",
        _range(start, end),
    )
    return [(moment(int(hour)), int(count)) for hour, count in rows]


def outcomes_per_hour(store: Selecting, start: datetime, end: datetime) -> list[HourCount]:
    """Verdicts by the hour they were given in; hours without any are left out."""
    rows = store.select(
        """
SELECT detected_us - detected_us % (3600 * 1000000) AS hour_us,
    sum(outcome = 'clean') AS clean, sum(outcome = 'flagged') AS flagged, sum(outcome = 'undecided') AS undecided
FROM current_verdicts WHERE detected_us >= :start AND detected_us < :end GROUP BY hour_us ORDER BY hour_us
""",
        _range(start, end),
    )
    return [HourCount(moment(int(hour)), *map(int, counts)) for hour, *counts in rows]


def findings_by_label(store: Selecting, start: datetime, end: datetime) -> list[LabelCount]:
    """What was found among the messages flagged in a time, the most frequent label first."""
    rows = store.select(
        """
SELECT label, count(*) AS messages, count(DISTINCT conversation_id) AS conversations FROM current_findings
WHERE outcome = 'flagged' AND detected_us >= :start AND detected_us < :end
GROUP BY label ORDER BY messages DESC, label
""",
        _range(start, end),
    )
    return [LabelCount(label, int(messages), int(conversations)) for label, messages, conversations in rows]


def findings_by_source(store: Selecting, start: datetime, end: datetime) -> list[SourceCount]:
    """Which rules, models and cases found them, the most frequent first."""
    rows = store.select(
        """
SELECT kind, source_id, label, count(*) AS messages FROM current_sources
WHERE outcome = 'flagged' AND detected_us >= :start AND detected_us < :end
GROUP BY kind, source_id, label ORDER BY messages DESC, kind, source_id, label
""",
        _range(start, end),
    )
    return [SourceCount(kind, source, label, int(count)) for kind, source, label, count in rows]


def flagged_by_advisor(
    store: Selecting, start: datetime, end: datetime, *, limit: int = 100
) -> list[AdvisorCount]:
    """Messages sent in a time by those who have flagged ones, the most flagged first."""
    rows = store.select(
        """
SELECT m.advisor_id AS advisor_id, m.branch AS branch, count(*) AS messages, sum(m.is_flagged) AS flagged
FROM (
    SELECT advisor_id, branch, (conversation_id, message_id, content_hash) IN (
        SELECT conversation_id, message_id, content_hash FROM current_verdicts WHERE outcome = 'flagged'
    ) AS is_flagged
    FROM current_messages
    WHERE speaker = 'advisor' AND advisor_id <> '' AND sent_us >= :start AND sent_us < :end
) AS m
GROUP BY advisor_id, branch HAVING flagged > 0 ORDER BY flagged DESC, advisor_id, branch LIMIT :limit
""",
        {**_range(start, end), "limit": limit},
    )
    return [AdvisorCount(advisor, branch, int(all_), int(flagged)) for advisor, branch, all_, flagged in rows]


def label_quality(store: Selecting, start: datetime, end: datetime) -> list[LabelQuality]:
    """What reviewers who decided in a time said of each label."""
    rows = store.select(
        """
SELECT label, sum(machine) AS said, sum(machine * person) AS agreed, sum(person * (1 - machine)) AS added
FROM current_decision_labels WHERE at_us >= :start AND at_us < :end GROUP BY label ORDER BY label
""",
        _range(start, end),
    )
    return [LabelQuality(label, *map(int, counts)) for label, *counts in rows]


def source_quality(store: Selecting, start: datetime, end: datetime) -> list[SourceQuality]:
    """What reviewers who decided in a time said of the findings of each rule, model and case."""
    rows = store.select(
        """
SELECT s.kind AS kind, s.source_id AS source_id, s.label AS label, count(*) AS said, sum(d.person) AS agreed
FROM (
    SELECT conversation_id, message_id, content_hash, label, kind, source_id FROM current_sources
) AS s JOIN (
    SELECT conversation_id, message_id, content_hash, label, person FROM current_decision_labels
    WHERE machine = 1 AND at_us >= :start AND at_us < :end
) AS d USING (conversation_id, message_id, content_hash, label)
GROUP BY kind, source_id, label ORDER BY said DESC, kind, source_id, label
""",
        _range(start, end),
    )
    return [
        SourceQuality(kind, source, label, int(said), int(agreed))
        for kind, source, label, said, agreed in rows
    ]


def decisions_by_reviewer(store: Selecting, start: datetime, end: datetime) -> list[ReviewerCount]:
    """Who decided how many cases, and how."""
    rows = store.select(
        """
SELECT reviewer, action, count(*) AS cases FROM current_decisions
WHERE at_us >= :start AND at_us < :end GROUP BY reviewer, action ORDER BY reviewer, action
""",
        _range(start, end),
    )
    return [ReviewerCount(reviewer, action, int(cases)) for reviewer, action, cases in rows]


def dead_letters_by_reason(store: Selecting) -> list[ReasonCount]:
    """All dead letters ever stored, the most frequent kind first."""
    rows = store.select(
        """
SELECT reason, stack_digest, status, count(*) AS letters FROM current_dead_letters
GROUP BY reason, stack_digest, status ORDER BY letters DESC, reason, stack_digest, status
""",
        {},
    )
    return [ReasonCount(reason, digest, status, int(letters)) for reason, digest, status, letters in rows]


def open_dead_letters(store: Selecting) -> int:
    """How many records could not be judged, and nobody replayed or dropped."""
    ((letters,),) = store.select("SELECT count(*) FROM current_dead_letters WHERE status = 'open'", {})
    return int(letters)


def versions_in_use(store: Selecting, start: datetime, end: datetime) -> list[VersionUse]:
    """What judged in a time: the ledger as it really ran, the latest first."""
    rows = store.select(
        """
SELECT catalogue, pack, model, count(*) AS verdicts, min(detected_us) AS first_us, max(detected_us) AS last_us
FROM current_verdicts WHERE detected_us >= :start AND detected_us < :end
GROUP BY catalogue, pack, model ORDER BY last_us DESC, catalogue, pack, model
""",
        _range(start, end),
    )
    return [
        VersionUse(catalogue, pack, model, int(count), moment(int(first)), moment(int(last)))
        for catalogue, pack, model, count, first, last in rows
    ]


def unjudged(
    store: Selecting, start: datetime, end: datetime, *, limit: int = 1000
) -> list[tuple[str, str, str]]:
    """Messages sent in a time without a verdict: conversation, id and content, oldest first."""
    rows = store.select(
        """
SELECT conversation_id, message_id, content_hash FROM current_messages
WHERE sent_us >= :start AND sent_us < :end AND (conversation_id, message_id, content_hash) NOT IN (
    SELECT conversation_id, message_id, content_hash FROM current_verdicts
) ORDER BY sent_us, conversation_id, message_id LIMIT :limit
""",
        {**_range(start, end), "limit": limit},
    )
    return [(conversation, message, content) for conversation, message, content in rows]


def conversations_between(store: Selecting, start: datetime, end: datetime) -> Iterator[str]:
    """The conversations that have a message sent in a time, by id; read page by page."""
    after = ""
    while True:
        rows = store.select(
            """
SELECT conversation_id FROM current_messages
WHERE sent_us >= :start AND sent_us < :end AND conversation_id > :after
GROUP BY conversation_id ORDER BY conversation_id LIMIT :limit
""",
            {**_range(start, end), "after": after, "limit": PAGE},
        )
        yield from (conversation for (conversation,) in rows)
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _range(start: datetime, end: datetime) -> dict[str, object]:
    return {"start": microseconds(start), "end": microseconds(end)}
