"""The tables of the desk store, the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

SCHEMA_VERSION = 1

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware in Python, UTC in the database (SQLite forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time instead of guessing its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime in the desk store; pass one with a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# Small facts about the store itself: schema version, intake cursor.
state = Table(
    "desk_state",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

cases = Table(
    "cases",
    metadata,
    Column("case_id", String(32), primary_key=True),
    Column("conversation_key", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("detected_at", UtcDateTime, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("snapshot_digest", String(64), nullable=False),
    Column("claimed_by", Text),
    Column("claimed_until", UtcDateTime),
    Column("decided_by", Text),
    Column("decided_at", UtcDateTime),
)
Index("cases_by_queue", cases.c.status, cases.c.priority, cases.c.sent_at)
Index("cases_by_conversation", cases.c.conversation_key)

# One row per label and per queue reason of a case, for filters and counts.
case_facets = Table(
    "case_facets",
    metadata,
    Column("case_id", String(32), ForeignKey("cases.case_id"), primary_key=True),
    Column("facet", String(16), primary_key=True),
    Column("value", Text, primary_key=True),
)
Index("case_facets_by_value", case_facets.c.facet, case_facets.c.value)

# Every decision is kept. `withdrawn_at` is set when the case was opened again.
decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", Integer, primary_key=True, autoincrement=True),
    Column("case_id", String(32), ForeignKey("cases.case_id"), nullable=False, index=True),
    Column("reviewer", Text, nullable=False),
    Column("action", String(16), nullable=False),
    Column("labels", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    # What the reviewer saw, kept with the decision: the case may be judged anew later.
    Column("snapshot", Text, nullable=False),
    Column("snapshot_digest", String(64), nullable=False),
    Column("audit_seq", Integer, nullable=False),
    Column("withdrawn_at", UtcDateTime),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("case_id", String(32), index=True),
    Column("detail", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

# One row: the end of the chain. Locked by every append, so that the chain cannot fork.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("failed_tries", Integer, nullable=False),
    Column("locked_until", UtcDateTime),
)

# Verdicts whose message has not reached the event store yet. None is forgotten.
waiting_verdicts = Table(
    "waiting_verdicts",
    metadata,
    Column("case_id", String(32), primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("tried_at", UtcDateTime, nullable=False),
)
