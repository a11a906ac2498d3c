"""Checks that the audit trail, the decisions and what was shown still fit together."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from feedback.store.audit import DECISION_ACTIONS, INTAKE_ACTIONS, entry_hash
from feedback.store.desk_store import GENESIS_HASH, DeskStore
from feedback.store.tables import audit, audit_head, cases, decisions

_STATUS_AFTER = {"confirm": "confirmed", "dismiss": "dismissed", "relabel": "relabelled"}


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """
    One place where something does not fit.

    `kind`: `missing_entry`, `broken_link`, `altered_entry`, `altered_head`, `altered_decision`,
    `missing_decision`, `unrecorded_decision`, `altered_snapshot`, `altered_status`, `missing_case`,
    `unrecorded_case`.
    """

    kind: str
    seq: int
    case_id: str | None = None

    def __str__(self) -> str:
        where = f" (case {self.case_id})" if self.case_id else ""
        return f"audit entry {self.seq}{where}: {self.kind.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of `verify_audit`."""

    entries: int
    head_hash: str
    problems: tuple[AuditProblem, ...]

    @property
    def ok(self) -> bool:
        """True when every entry, decision and snapshot is as it was written."""
        return not self.problems


def verify_audit(store: DeskStore) -> AuditReport:
    """
    Recompute the chain and compare every decision and every case with its entries.

    A decision with what its reviewer was shown, a case, open or decided, with what intake last put before reviewers.
    """
    with store.read() as connection:
        head = connection.execute(select(audit_head)).one()
        entries = connection.execute(select(func.count()).select_from(audit)).scalar_one()
        problems = (
            *_chain_problems(connection, head.seq, head.hash),
            *_decision_problems(connection),
            *_case_problems(connection),
        )
    return AuditReport(entries=entries, head_hash=head.hash, problems=problems)


def _chain_problems(connection: Connection, head_seq: int, head_hash: str) -> Iterator[AuditProblem]:
    seq, last_hash = 0, GENESIS_HASH
    for row in connection.execute(select(audit).order_by(audit.c.seq)).yield_per(1000):
        if row.seq != seq + 1:
            yield AuditProblem("missing_entry", seq + 1)
        elif row.previous_hash != last_hash:
            yield AuditProblem("broken_link", row.seq, row.case_id)
        content = (row.seq, row.at, row.actor, row.action, row.case_id, row.detail, row.previous_hash)
        if row.hash != entry_hash(*content):
            yield AuditProblem("altered_entry", row.seq, row.case_id)
        seq, last_hash = row.seq, row.hash
    if (head_seq, head_hash) != (seq, last_hash):
        yield AuditProblem("altered_head", head_seq)


def _decision_problems(connection: Connection) -> Iterator[AuditProblem]:
    recorded = select(
        decisions, audit.c.actor, audit.c.action.label("audit_action"), audit.c.detail, audit.c.at
    ).outerjoin(audit, audit.c.seq == decisions.c.audit_seq)
    for row in connection.execute(recorded).yield_per(500):
        if row.detail is None:
            yield AuditProblem("unrecorded_decision", row.audit_seq, row.case_id)
            continue
        detail = orjson.loads(row.detail)
        written = (row.actor, row.audit_action, detail.get("labels"), detail.get("note"), detail.get("shown"))
        labels = orjson.loads(row.labels)
        stored = (row.reviewer, DECISION_ACTIONS.get(row.action), labels, row.note, row.snapshot_digest)
        if written != stored or datetime.fromisoformat(row.at) != row.decided_at:
            yield AuditProblem("altered_decision", row.audit_seq, row.case_id)
        if _digest(row.snapshot) != row.snapshot_digest:
            yield AuditProblem("altered_snapshot", row.audit_seq, row.case_id)
    made = audit.c.action.in_(DECISION_ACTIONS.values())
    gone = select(audit.c.seq, audit.c.case_id).where(
        made, audit.c.seq.not_in(select(decisions.c.audit_seq).scalar_subquery())
    )
    for row in connection.execute(gone):
        yield AuditProblem("missing_decision", row.seq, row.case_id)


def _case_problems(connection: Connection) -> Iterator[AuditProblem]:
    standing = (
        select(decisions.c.case_id, decisions.c.action, decisions.c.reviewer)
        .where(decisions.c.withdrawn_at.is_(None))
        .subquery()
    )
    withdrawn = _per_case(connection, decisions.c.case_id, decisions.c.withdrawn_at.is_not(None))
    reopened = _per_case(connection, audit.c.case_id, audit.c.action == "case_reopened")
    shown = _last_shown(connection)
    seen = set()
    query = select(cases, standing.c.action, standing.c.reviewer).outerjoin(
        standing, standing.c.case_id == cases.c.case_id
    )
    for row in connection.execute(query).yield_per(500):
        seen.add(row.case_id)
        entry = shown.get(row.case_id)
        if entry is None:
            yield AuditProblem("unrecorded_case", 0, row.case_id)
        elif not _digest(row.snapshot) == row.snapshot_digest == entry[1]:
            yield AuditProblem("altered_snapshot", entry[0], row.case_id)
        said = (_STATUS_AFTER.get(row.action, "open"), row.reviewer)
        undone = withdrawn.get(row.case_id, 0) != reopened.get(row.case_id, 0)
        if undone or said != (row.status, row.decided_by):
            yield AuditProblem("altered_status", 0, row.case_id)
    for case_id, (seq, _) in shown.items():
        if case_id not in seen:
            yield AuditProblem("missing_case", seq, case_id)


def _last_shown(connection: Connection) -> dict[str, tuple[int, str | None]]:
    """Of each case the entry with which intake last changed what it shows, and the digest there."""
    wrote = select(audit.c.seq, audit.c.case_id, audit.c.detail).where(audit.c.action.in_(INTAKE_ACTIONS))
    rows = connection.execute(wrote.order_by(audit.c.seq)).yield_per(1000)
    return {row.case_id: (row.seq, orjson.loads(row.detail).get("shown")) for row in rows}


def _per_case(connection: Connection, case_id: Any, condition: Any) -> dict[str, int]:
    query = select(case_id, func.count()).where(condition).group_by(case_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
