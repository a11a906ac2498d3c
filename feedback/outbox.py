"""
What leaves the desk: decisions and what judges, in the order in which they happened.

The audit trail is the outbox. Each destination has a cursor of its own in the desk store, moved
after the destination has taken the records; they carry ids computed from what they say, so a
record that goes out twice is harmless.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, select

from feedback.snapshot import decode_snapshot
from feedback.store.audit import DECISION_ACTIONS
from feedback.store.desk_store import DeskStore
from feedback.store.tables import audit, cases, decisions, state
from streams.ledger import LedgerRecord
from streams.reviews import Review, ReviewAction

BATCH_SIZE = 500
_PACKS = "packs_in_service"
_ACTIONS: dict[str, ReviewAction] = {
    DECISION_ACTIONS["confirm"]: "confirm",
    DECISION_ACTIONS["dismiss"]: "dismiss",
    DECISION_ACTIONS["relabel"]: "relabel",
    "case_reopened": "reopen",
}


def publish_reviews(
    store: DeskStore,
    write: Callable[[Sequence[Review]], None],
    *,
    destination: str,
    batch_size: int = BATCH_SIZE,
) -> int:
    """
    Give `write` every decision and withdrawal that this destination has not had; how many they were.

    Whatever `write` raises comes through, and the same records are given again the next time.
    """
    published = 0
    name = f"outbox:{destination}:reviews"
    while True:
        with store.read() as connection:
            after = int(_value(connection, name) or 0)
            reviews = _reviews(connection, after, batch_size)
        if not reviews:
            return published
        write(reviews)
        published += len(reviews)
        _keep(store, name, str(reviews[-1].seq))


def publish_ledger(
    store: DeskStore,
    models: Sequence[LedgerRecord],
    write: Callable[[Sequence[LedgerRecord]], None],
    *,
    destination: str,
) -> int:
    """
    Give `write` what happened to models and packs and this destination has not had; how much it was.

    `models` is the whole ledger of the model store, oldest first.
    """
    published = 0
    with store.read() as connection:
        packs = _packs(connection)
    for kind, entries in (("models", models), ("rules", packs)):
        name = f"outbox:{destination}:{kind}"
        with store.read() as connection:
            done = int(_value(connection, name) or 0)
        # A ledger that became shorter is another one.
        fresh = list(entries[done if done <= len(entries) else 0 :])
        if fresh:
            write(fresh)
            published += len(fresh)
            _keep(store, name, str(len(entries)))
    return published


def note_pack(store: DeskStore, version: str, *, at: datetime, actor: str) -> bool:
    """Keep that this rule pack is the one in service since `at`; False when it was already."""
    with store.write() as connection:
        known = _packs(connection)
        if known and known[-1].version == version:
            return False
        previous = known[-1].version if known else None
        entry = LedgerRecord("rules", at, actor, "in_service", version, previous)
        told = [
            {"at": each.at.isoformat(), "actor": each.actor, "version": each.version}
            for each in (*known, entry)
        ]
        _write(connection, _PACKS, orjson.dumps(told).decode())
    return True


def _packs(connection: Connection) -> list[LedgerRecord]:
    found: list[LedgerRecord] = []
    for told in orjson.loads(_value(connection, _PACKS) or "[]"):
        previous = found[-1].version if found else None
        at = datetime.fromisoformat(told["at"])
        found.append(LedgerRecord("rules", at, told["actor"], "in_service", told["version"], previous))
    return found


def _reviews(connection: Connection, after: int, limit: int) -> list[Review]:
    query = (
        select(audit, cases.c.snapshot.label("shown_now"), decisions.c.snapshot.label("shown_then"))
        .join(cases, cases.c.case_id == audit.c.case_id)
        .outerjoin(decisions, decisions.c.audit_seq == audit.c.seq)
        .where(audit.c.seq > after, audit.c.action.in_(_ACTIONS))
        .order_by(audit.c.seq)
        .limit(limit)
    )
    return [_review(row) for row in connection.execute(query)]


def _review(row: Any) -> Review:
    detail = orjson.loads(row.detail)
    snapshot = decode_snapshot(row.shown_then or row.shown_now, with_context=False)
    message, verdict = snapshot.message, snapshot.verdict
    return Review(
        seq=row.seq,
        case_id=row.case_id,
        conversation_id=message.conversation_id,
        message_id=message.message_id,
        content_hash=verdict.content_hash,
        action=_ACTIONS[row.action],
        labels=tuple(detail.get("labels", ())),
        machine_labels=tuple(sorted({finding.label for finding in verdict.findings})),
        reviewer=row.actor,
        at=datetime.fromisoformat(row.at),
        shown=detail["shown"],
        catalogue=verdict.versions.catalogue,
        pack=verdict.versions.pack,
        model=verdict.versions.model,
        code=verdict.versions.code,
    )


def _value(connection: Connection, name: str) -> str | None:
    found: str | None = connection.execute(
        select(state.c.value).where(state.c.name == name)
    ).scalar_one_or_none()
    return found


def _keep(store: DeskStore, name: str, value: str) -> None:
    with store.write() as connection:
        _write(connection, name, value)


def _write(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(state).where(state.c.name == name))
    connection.execute(insert(state).values(name=name, value=value))
