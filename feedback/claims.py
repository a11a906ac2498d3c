"""Claims keep two reviewers from working on the same case. A claim runs out by itself."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import update

from feedback.cases import Case, CaseFilter, CaseStatus, Clock, candidate_ids, read_case, shown_detail
from feedback.errors import CaseAlreadyDecided, CaseClaimed
from feedback.store.audit import append_audit, lock_audit
from feedback.store.desk_store import DeskStore
from feedback.store.tables import cases

CLAIM_TTL = timedelta(minutes=10)


def claim(store: DeskStore, case_id: str, reviewer: str, *, clock: Clock, ttl: timedelta = CLAIM_TTL) -> Case:
    """
    Take an open case, or keep one that is already taken, for `ttl` from now.

    Taking it is one audit entry (what was shown, by which versions); keeping it is none.
    Raises CaseNotFound, CaseAlreadyDecided or CaseClaimed.
    """
    now = clock()
    with store.write() as connection:
        lock_audit(connection)
        free = (
            cases.c.claimed_by.is_(None) | (cases.c.claimed_by == reviewer) | (cases.c.claimed_until <= now)
        )
        before = read_case(connection, case_id)
        taken = connection.execute(
            update(cases)
            .where(cases.c.case_id == case_id, cases.c.status == CaseStatus.OPEN, free)
            .values(claimed_by=reviewer, claimed_until=now + ttl)
        )
        case = read_case(connection, case_id)
        if taken.rowcount == 0:
            raise refusal(case)
        kept = before.claimed_by == reviewer and before.digest == case.digest
        lapsed = before.claimed_until is None or before.claimed_until <= now
        if not kept or lapsed:
            detail = shown_detail(case.snapshot, case.digest)
            append_audit(
                connection, at=now, actor=reviewer, action="case_shown", case_id=case_id, detail=detail
            )
        return case


def claim_next(
    store: DeskStore, wanted: CaseFilter, reviewer: str, *, clock: Clock, after: Case | None = None
) -> Case | None:
    """
    Take the next case of a filter that nobody else works on, or None when there is none.

    The most urgent one, or the one behind `after` in the queue; behind the last comes the
    first again, but never `after` itself.
    """
    with store.read() as connection:
        now = clock()
        candidates = list(candidate_ids(connection, wanted, reviewer, now, after=after))
        if after is not None:
            candidates += candidate_ids(connection, wanted, reviewer, now)
    for case_id in candidates:
        if after is not None and case_id == after.case_id:
            continue
        try:
            return claim(store, case_id, reviewer, clock=clock)
        except (CaseAlreadyDecided, CaseClaimed):
            continue  # somebody was quicker
    return None


def release(store: DeskStore, case_id: str, reviewer: str, *, clock: Clock) -> None:
    """Give a claim back; nothing happens when the reviewer holds none. Raises CaseNotFound."""
    with store.write() as connection:
        released = connection.execute(
            update(cases)
            .where(
                cases.c.case_id == case_id,
                cases.c.status == CaseStatus.OPEN,
                cases.c.claimed_by == reviewer,
            )
            .values(claimed_by=None, claimed_until=None)
        )
        read_case(connection, case_id)
        if released.rowcount:
            append_audit(connection, at=clock(), actor=reviewer, action="case_released", case_id=case_id)


def note_reading(store: DeskStore, case_id: str, reviewer: str, *, clock: Clock) -> Case:
    """Record that a reviewer reads a case without claiming it, and return it. Raises CaseNotFound."""
    with store.write() as connection:
        case = read_case(connection, case_id)
        detail = shown_detail(case.snapshot, case.digest)
        append_audit(
            connection, at=clock(), actor=reviewer, action="case_read", case_id=case_id, detail=detail
        )
    return case


def note_list_reading(store: DeskStore, found: Sequence[Case], reviewer: str, *, clock: Clock) -> None:
    """Record in one entry that somebody is given these cases at once; none for no case."""
    if not found:
        return
    detail = {"cases": [case.case_id for case in found]}
    with store.write() as connection:
        append_audit(connection, at=clock(), actor=reviewer, action="cases_read", detail=detail)


def refusal(case: Case) -> CaseAlreadyDecided | CaseClaimed:
    """Why a case could not be taken or decided."""
    if case.decided_by is not None and case.decided_at is not None:
        return CaseAlreadyDecided(case.case_id, case.decided_by, case.decided_at)
    return CaseClaimed(case.case_id, case.claimed_by or "", case.claimed_until or case.opened_at)
