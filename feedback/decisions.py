"""A person decides. Each decision is one transaction with its audit entry, and is kept for good."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import orjson
from sqlalchemy import Connection, insert, select, update

from feedback.cases import Case, CaseStatus, Clock, read_case, shown_detail
from feedback.claims import refusal
from feedback.decided import Action, DecidedCase
from feedback.errors import CaseChanged, CaseNotDecided, InvalidDecision
from feedback.snapshot import decode_snapshot
from feedback.store.audit import DECISION_ACTIONS, append_audit, lock_audit
from feedback.store.desk_store import DeskStore
from feedback.store.tables import cases, decisions

NOTE_MAX_CHARS = 2000
READ_AT_ONCE = 100

_STATUS_AFTER: dict[Action, CaseStatus] = {
    "confirm": CaseStatus.CONFIRMED,
    "dismiss": CaseStatus.DISMISSED,
    "relabel": CaseStatus.RELABELLED,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reviewer said of a case. `labels` is empty for a dismissed one."""

    decision_id: int
    case_id: str
    reviewer: str
    action: Action
    labels: tuple[str, ...]
    note: str
    decided_at: datetime
    withdrawn_at: datetime | None = None


def decide(
    store: DeskStore,
    case_id: str,
    reviewer: str,
    action: str,
    labels: Collection[str] = (),
    note: str = "",
    *,
    clock: Clock,
    shown: str | None = None,
    known_labels: Collection[str] | None = None,
) -> Decision:
    """
    Record what a reviewer says of an open case.

    `confirm` takes the labels of the verdict, `dismiss` none, `relabel` those given.
    `shown` is the digest of what the reviewer read; CaseChanged when the case shows
    something else by now. Raises CaseNotFound, CaseAlreadyDecided (the first decision
    stands), CaseClaimed, InvalidDecision.
    """
    now = clock()
    with store.write() as connection:
        lock_audit(connection)
        case = read_case(connection, case_id)
        chosen = _action(action)
        if case.status is not CaseStatus.OPEN or case.claimed_by_other(reviewer, now):
            raise refusal(case)
        if shown is not None and shown != case.digest:
            raise CaseChanged(case_id)
        final = _final_labels(case, chosen, labels, known_labels)
        text = _clean_note(note)
        free = (
            cases.c.claimed_by.is_(None) | (cases.c.claimed_by == reviewer) | (cases.c.claimed_until <= now)
        )
        done = connection.execute(
            update(cases)
            .where(
                cases.c.case_id == case_id,
                cases.c.status == CaseStatus.OPEN,
                cases.c.snapshot_digest == case.digest,
                free,
            )
            .values(
                status=_STATUS_AFTER[chosen],
                decided_by=reviewer,
                decided_at=now,
                claimed_by=None,
                claimed_until=None,
            )
        )
        if done.rowcount == 0:  # another transaction came between the reading and the writing
            latest = read_case(connection, case_id)
            free_now = latest.status is CaseStatus.OPEN and not latest.claimed_by_other(reviewer, now)
            raise CaseChanged(case_id) if free_now else refusal(latest)
        return _record(connection, case, reviewer, chosen, final, text, now)


def reopen(store: DeskStore, case_id: str, reviewer: str, *, note: str = "", clock: Clock) -> None:
    """
    Withdraw the decision on a case, which waits in the queue again.

    The withdrawn decision stays in the history. Raises CaseNotFound, CaseNotDecided.
    """
    now = clock()
    with store.write() as connection:
        lock_audit(connection)
        case = read_case(connection, case_id)
        undone = connection.execute(
            update(cases)
            .where(cases.c.case_id == case_id, cases.c.status != CaseStatus.OPEN)
            .values(
                status=CaseStatus.OPEN, decided_by=None, decided_at=None, claimed_by=None, claimed_until=None
            )
        )
        if undone.rowcount == 0:
            raise CaseNotDecided(case_id)
        connection.execute(
            update(decisions)
            .where(decisions.c.case_id == case_id, decisions.c.withdrawn_at.is_(None))
            .values(withdrawn_at=now)
        )
        detail = {**shown_detail(case.snapshot, case.digest), "note": _clean_note(note)}
        append_audit(
            connection, at=now, actor=reviewer, action="case_reopened", case_id=case_id, detail=detail
        )


def decision_history(store: DeskStore, case_id: str) -> list[Decision]:
    """Every decision on a case, the latest first, with withdrawn ones."""
    query = select(decisions).where(decisions.c.case_id == case_id)
    with store.read() as connection:
        found = connection.execute(query.order_by(decisions.c.decision_id.desc()))
        return [_decision(row) for row in found]


def last_decision(store: DeskStore, case_id: str) -> Decision | None:
    """The decision that stands, or None."""
    return next((d for d in decision_history(store, case_id) if d.withdrawn_at is None), None)


def decided_cases(store: DeskStore) -> list[DecidedCase]:
    """Every standing decision with what its reviewer was shown, oldest first. Texts are not masked."""
    with latest_decided(store) as found:
        return list(found)[::-1]


@contextmanager
def latest_decided(store: DeskStore) -> Iterator[Iterator[DecidedCase]]:
    """The same, newest first, read as they are asked for: whoever needs the latest reads no others."""
    query = (
        select(decisions).where(decisions.c.withdrawn_at.is_(None)).order_by(decisions.c.decision_id.desc())
    )
    streamed = query.execution_options(yield_per=READ_AT_ONCE)
    with store.read() as connection, connection.execute(streamed) as rows:
        yield map(_decided, rows)


def _decided(row: Any) -> DecidedCase:
    snapshot = decode_snapshot(row.snapshot)
    return DecidedCase(
        case_id=row.case_id,
        message=snapshot.message,
        before=snapshot.before,
        verdict=snapshot.verdict,
        action=row.action,
        labels=frozenset(orjson.loads(row.labels)),
        reviewer=row.reviewer,
        decided_at=row.decided_at,
        note=row.note,
    )


def _decision(row: Any) -> Decision:
    return Decision(
        decision_id=row.decision_id,
        case_id=row.case_id,
        reviewer=row.reviewer,
        action=row.action,
        labels=tuple(orjson.loads(row.labels)),
        note=row.note,
        decided_at=row.decided_at,
        withdrawn_at=row.withdrawn_at,
    )


def _record(
    connection: Connection,
    case: Case,
    reviewer: str,
    action: Action,
    labels: tuple[str, ...],
    note: str,
    now: datetime,
) -> Decision:
    audit_seq = append_audit(
        connection,
        at=now,
        actor=reviewer,
        action=DECISION_ACTIONS[action],
        case_id=case.case_id,
        detail={**shown_detail(case.snapshot, case.digest), "labels": list(labels), "note": note},
    )
    snapshot = connection.execute(
        select(cases.c.snapshot).where(cases.c.case_id == case.case_id)
    ).scalar_one()
    written = connection.execute(
        insert(decisions).values(
            case_id=case.case_id,
            reviewer=reviewer,
            action=action,
            labels=orjson.dumps(labels).decode(),
            note=note,
            decided_at=now,
            snapshot=snapshot,
            snapshot_digest=case.digest,
            audit_seq=audit_seq,
        )
    )
    key = written.inserted_primary_key
    return Decision(int(key[0]) if key else 0, case.case_id, reviewer, action, labels, note, now)


def _action(action: str) -> Action:
    for known in get_args(Action):
        if action == known:
            return known  # type: ignore[no-any-return]  # get_args forgets the literal's type
    raise InvalidDecision("unknown_action", f"a decision is confirm, dismiss or relabel, not {action!r}")


def _final_labels(
    case: Case, action: Action, labels: Collection[str], known: Collection[str] | None
) -> tuple[str, ...]:
    machine = {finding.label for finding in case.snapshot.verdict.findings}
    given = set(labels)
    if action == "dismiss":
        if given:
            raise InvalidDecision("labels_not_expected", "a dismissed case carries no labels")
        return ()
    if action == "confirm":
        if not machine:
            raise InvalidDecision("nothing_to_confirm", "the machine found no label; choose labels yourself")
        if given and given != machine:
            raise InvalidDecision("labels_not_expected", "confirming keeps the labels; relabel instead")
        return tuple(sorted(machine))
    if not given:
        raise InvalidDecision("no_labels", "choose at least one label, or dismiss the case")
    if known is not None and not given <= set(known) | machine:
        unknown = ", ".join(sorted(given - set(known) - machine))
        raise InvalidDecision("unknown_label", f"the catalogue has no label {unknown}")
    if given == machine:
        raise InvalidDecision("same_labels", "these are the machine's own labels; confirm the case instead")
    return tuple(sorted(given))


def _clean_note(note: str) -> str:
    text = note.replace("\r\n", "\n").replace("\x00", "").encode("utf-8", "replace").decode().strip()
    if len(text) > NOTE_MAX_CHARS:
        raise InvalidDecision("note_too_long", f"a note has at most {NOTE_MAX_CHARS} characters")
    return text
