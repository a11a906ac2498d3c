"""
The audit trail: one entry per action, chained by SHA-256.

Each entry's hash covers its content and the hash before it, so a changed, removed or
inserted entry is found by `verify.verify_audit`. Somebody who can rewrite the whole database
can rewrite the chain: keep `AuditReport.head_hash` elsewhere to notice that too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

import orjson
from sqlalchemy import Connection, func, insert, select, update

from feedback.store.desk_store import DeskStore
from feedback.store.tables import audit, audit_head

SYSTEM_ACTOR = "system"

AuditAction = Literal[
    "case_opened",  # intake: a message waits for a reviewer
    "case_rejudged",  # intake: an open case shows a newer verdict
    "case_shown",  # a reviewer opened the case and claimed it
    "case_read",  # a reviewer read a case without claiming it
    "cases_read",  # somebody was given cases as JSON; `cases` of the detail lists them
    "case_released",  # a reviewer gave a claim back
    "case_confirmed",
    "case_dismissed",
    "case_relabelled",
    "case_reopened",  # a decision was withdrawn
    "signed_in",
    "sign_in_failed",
    "signed_out",
    "user_added",
    "password_set",
]

# The entries with which a case begins to show what it shows.
INTAKE_ACTIONS: Sequence[AuditAction] = ("case_opened", "case_rejudged")
# The entry that each kind of decision leaves.
DECISION_ACTIONS: Mapping[str, AuditAction] = {
    "confirm": "case_confirmed",
    "dismiss": "case_dismissed",
    "relabel": "case_relabelled",
}


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action. `detail` holds what was shown and done, with the versions that judged it."""

    seq: int
    at: datetime
    actor: str
    action: str
    case_id: str | None
    detail: Mapping[str, object]
    hash: str


def lock_audit(connection: Connection) -> tuple[int, str]:
    """
    Hold the end of the chain until the transaction ends; gives its number and hash.

    A writer that checks something before it acts takes this first: writers then follow one another.
    """
    head = connection.execute(select(audit_head).where(audit_head.c.id == 1).with_for_update()).one()
    return head.seq, head.hash


def append_audit(
    connection: Connection,
    *,
    at: datetime,
    actor: str,
    action: AuditAction,
    case_id: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> int:
    """Add an entry within the caller's transaction, so that none is missing. Returns its number."""
    last_seq, last_hash = lock_audit(connection)
    seq = last_seq + 1
    at_text = at.astimezone(UTC).isoformat(timespec="microseconds")
    detail_text = orjson.dumps(dict(detail or {}), option=orjson.OPT_SORT_KEYS).decode()
    digest = entry_hash(seq, at_text, actor, action, case_id, detail_text, last_hash)
    connection.execute(
        insert(audit).values(
            seq=seq,
            at=at_text,
            actor=actor,
            action=action,
            case_id=case_id,
            detail=detail_text,
            previous_hash=last_hash,
            hash=digest,
        )
    )
    connection.execute(update(audit_head).where(audit_head.c.id == 1).values(seq=seq, hash=digest))
    return seq


def list_audit(
    store: DeskStore, *, case_id: str | None = None, limit: int = 100, before: int | None = None
) -> list[AuditEntry]:
    """Newest first; `before` is the number of the last entry of the previous page."""
    query = select(audit).order_by(audit.c.seq.desc()).limit(limit)
    if case_id is not None:
        query = query.where(audit.c.case_id == case_id)
    if before is not None:
        query = query.where(audit.c.seq < before)
    with store.read() as connection:
        return [
            AuditEntry(
                seq=row.seq,
                at=datetime.fromisoformat(row.at),
                actor=row.actor,
                action=row.action,
                case_id=row.case_id,
                detail=orjson.loads(row.detail),
                hash=row.hash,
            )
            for row in connection.execute(query)
        ]


def count_audit(store: DeskStore) -> int:
    """How many entries the trail has."""
    with store.read() as connection:
        return connection.execute(select(func.count()).select_from(audit)).scalar_one()


def entry_hash(
    seq: int, at: str, actor: str, action: str, case_id: str | None, detail: str, previous: str
) -> str:
    """The hash of an entry with this content, behind the entry whose hash is `previous`."""
    return sha256(orjson.dumps([seq, at, actor, action, case_id, detail, previous])).hexdigest()
