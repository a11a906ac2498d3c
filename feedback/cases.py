"""Cases: messages that wait for a person, or that a person decided."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select, update

from detectors.domain import Turn, Verdict
from feedback.errors import CaseNotFound
from feedback.snapshot import Snapshot, decode_snapshot, encode_snapshot, snapshot_digest
from feedback.store.audit import SYSTEM_ACTOR, append_audit, lock_audit
from feedback.store.desk_store import DeskStore
from feedback.store.tables import case_facets, cases
from streams.identity import MessageKey, message_key, verdict_key
from streams.store.base import needs_review

Clock = Callable[[], datetime]


class CaseStatus(StrEnum):
    """Open until a person decides."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    RELABELLED = "relabelled"


DECIDED = (CaseStatus.CONFIRMED, CaseStatus.DISMISSED, CaseStatus.RELABELLED)


@dataclass(frozen=True, slots=True)
class Case:
    """
    One message before a reviewer. `digest` names exactly what is shown.

    In lists the snapshot has no context.
    """

    case_id: str
    status: CaseStatus
    snapshot: Snapshot
    digest: str
    opened_at: datetime
    claimed_by: str | None
    claimed_until: datetime | None
    decided_by: str | None
    decided_at: datetime | None

    def claimed_by_other(self, reviewer: str, now: datetime) -> bool:
        """True while somebody else works on it."""
        return (
            self.status is CaseStatus.OPEN
            and self.claimed_by is not None
            and self.claimed_by != reviewer
            and self.claimed_until is not None
            and now < self.claimed_until
        )


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases a list shows; `None` is all. An empty `statuses` is every status."""

    statuses: tuple[CaseStatus, ...] = (CaseStatus.OPEN,)
    label: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CaseCounts:
    """How many cases per status, and per label and queue reason among the cases of a filter's statuses."""

    by_status: Mapping[str, int]
    by_label: Mapping[str, int]
    by_reason: Mapping[str, int]


def case_id_of(key: MessageKey) -> str:
    """
    The case of a message: computed, so that a repeat never opens a second one.

    An id counts within its conversation, and each text that was sent under it is a case of its
    own, so that no text is decided together with another that nobody looked at.
    """
    return _digest("\0".join(key))


def conversation_key_of(conversation_id: str) -> str:
    """A conversation's name in the tables of the desk."""
    return _digest(conversation_id)


def _first_case_id_of(message_id: str) -> str:
    """As redline 0.1 computed it, when ids counted over all conversations."""
    return _digest(message_id)


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def open_cases(store: DeskStore, turns_and_verdicts: Iterable[tuple[Turn, Verdict]], *, clock: Clock) -> int:
    """
    Open a case for every verdict that a person should look at, and return how many are new.

    A repeat changes nothing. A newer verdict replaces what an open case shows, but for one that the
    LLM judge amended (`Verdict.standing`); a decided case keeps what its reviewer saw.
    """
    opened = 0
    with store.write() as connection:
        lock_audit(connection)
        for turn, verdict in turns_and_verdicts:
            if needs_review(verdict):
                opened += _open_case(connection, Snapshot(turn.message, turn.before, verdict), clock())
    return opened


def _open_case(connection: Connection, snapshot: Snapshot, now: datetime) -> bool:
    message, verdict = snapshot.message, snapshot.verdict
    case_id = _existing_case_id(connection, snapshot)
    text = encode_snapshot(snapshot)
    digest = snapshot_digest(text)
    shown: dict[str, Any] = {
        "priority": verdict.priority,
        "outcome": str(verdict.outcome),
        "sent_at": message.sent_at,
        "detected_at": verdict.detected_at,
        "snapshot": text,
        "snapshot_digest": digest,
    }
    found = connection.execute(
        select(cases.c.status, cases.c.snapshot, cases.c.snapshot_digest).where(cases.c.case_id == case_id)
    ).first()
    if found is None:
        connection.execute(
            insert(cases).values(
                case_id=case_id,
                conversation_key=conversation_key_of(message.conversation_id),
                status=CaseStatus.OPEN,
                opened_at=now,
                **shown,
            )
        )
    elif (
        found.status != CaseStatus.OPEN
        or digest == found.snapshot_digest
        or verdict.standing <= decode_snapshot(found.snapshot, with_context=False).verdict.standing
    ):
        return False
    else:
        connection.execute(update(cases).where(cases.c.case_id == case_id).values(**shown))
        connection.execute(delete(case_facets).where(case_facets.c.case_id == case_id))
    _write_facets(connection, case_id, verdict)
    append_audit(
        connection,
        at=now,
        actor=SYSTEM_ACTOR,
        action="case_opened" if found is None else "case_rejudged",
        case_id=case_id,
        detail=shown_detail(snapshot, digest),
    )
    return found is None


def _existing_case_id(connection: Connection, snapshot: Snapshot) -> str:
    """The case's id; that of redline 0.1 where this very text has a case from then."""
    case_id, first_id = (
        case_id_of(verdict_key(snapshot.verdict)),
        _first_case_id_of(snapshot.message.message_id),
    )
    query = select(cases.c.case_id, cases.c.snapshot).where(cases.c.case_id.in_((case_id, first_id)))
    found = {row.case_id: row.snapshot for row in connection.execute(query)}
    if case_id in found or first_id not in found:
        return case_id
    known = decode_snapshot(found[first_id], with_context=False).message
    return first_id if message_key(known) == message_key(snapshot.message) else case_id


def _write_facets(connection: Connection, case_id: str, verdict: Verdict) -> None:
    facets = {("label", finding.label) for finding in verdict.findings}
    facets |= {("reason", reason) for reason in verdict.queue_reasons}
    if facets:
        rows = [{"case_id": case_id, "facet": facet, "value": value} for facet, value in sorted(facets)]
        connection.execute(insert(case_facets), rows)


def shown_detail(snapshot: Snapshot, digest: str) -> dict[str, object]:
    """What an audit entry says of the page: the digest of everything on it, and which versions judged."""
    verdict = snapshot.verdict
    return {
        "message_id": snapshot.message.message_id,
        "shown": digest,
        "machine_labels": sorted({finding.label for finding in verdict.findings}),
        "versions": {
            "catalogue": verdict.versions.catalogue,
            "pack": verdict.versions.pack,
            "model": verdict.versions.model,
            "memory": verdict.versions.memory,
            "code": verdict.versions.code,
        },
    }


def get_case(store: DeskStore, case_id: str) -> Case:
    """One case with its context. Raises CaseNotFound."""
    with store.read() as connection:
        return read_case(connection, case_id)


def read_case(connection: Connection, case_id: str) -> Case:
    """As `get_case`, within a transaction."""
    row = connection.execute(select(cases).where(cases.c.case_id == case_id)).first()
    if row is None:
        raise CaseNotFound(case_id)
    return _case(row, with_context=True)


def list_cases(store: DeskStore, wanted: CaseFilter, *, limit: int = 50, offset: int = 0) -> list[Case]:
    """Open cases: most urgent first, then the oldest. Decided ones: the latest decision first."""
    query = _filtered(select(cases), wanted).limit(limit).offset(offset)
    with store.read() as connection:
        return [_case(row, with_context=False) for row in connection.execute(_ordered(query, wanted))]


def candidate_ids(
    connection: Connection,
    wanted: CaseFilter,
    reviewer: str,
    now: datetime,
    *,
    after: Case | None = None,
) -> Sequence[str]:
    """The open cases of a filter that nobody else works on, in queue order, from behind `after` on."""
    open_only = CaseFilter(label=wanted.label, reason=wanted.reason)
    free = cases.c.claimed_by.is_(None) | (cases.c.claimed_by == reviewer) | (cases.c.claimed_until <= now)
    query = _ordered(_filtered(select(cases.c.case_id), open_only).where(free), open_only)
    if after is not None:
        query = query.where(_behind(after))
    return connection.execute(query.limit(20)).scalars().all()


def _behind(case: Case) -> ColumnElement[bool]:
    priority, sent_at = case.snapshot.verdict.priority, case.snapshot.message.sent_at
    later = (cases.c.sent_at > sent_at) | ((cases.c.sent_at == sent_at) & (cases.c.case_id > case.case_id))
    return (cases.c.priority < priority) | ((cases.c.priority == priority) & later)


def count_matching(store: DeskStore, wanted: CaseFilter) -> int:
    """How many cases a filter has."""
    with store.read() as connection:
        counted: int = connection.execute(
            _filtered(select(func.count()).select_from(cases), wanted)
        ).scalar_one()
        return counted


def count_opened_after(store: DeskStore, moment: datetime) -> int:
    """How many open cases came in after `moment`."""
    query = select(func.count()).select_from(cases)
    fresh = query.where(cases.c.status == CaseStatus.OPEN, cases.c.opened_at > moment)
    with store.read() as connection:
        counted: int = connection.execute(fresh).scalar_one()
    return counted


def count_cases(store: DeskStore, wanted: CaseFilter) -> CaseCounts:
    """The numbers beside the filters. Each facet is counted as if only the other one were chosen."""

    def facet(name: str, kept: CaseFilter) -> Select[Any]:
        query = select(case_facets.c.value, func.count()).join_from(
            case_facets, cases, cases.c.case_id == case_facets.c.case_id
        )
        return _filtered(query.where(case_facets.c.facet == name), kept).group_by(case_facets.c.value)

    with store.read() as connection:
        per_status = select(cases.c.status, func.count()).group_by(cases.c.status)
        by_status = {row[0]: row[1] for row in connection.execute(per_status)}
        labels = facet("label", CaseFilter(wanted.statuses, reason=wanted.reason))
        reasons = facet("reason", CaseFilter(wanted.statuses, label=wanted.label))
        return CaseCounts(
            by_status=by_status,
            by_label={row[0]: row[1] for row in connection.execute(labels)},
            by_reason={row[0]: row[1] for row in connection.execute(reasons)},
        )


def sibling_cases(store: DeskStore, case: Case, *, limit: int = 50) -> dict[str, Case]:
    """The other cases of the same conversation, by message id."""
    key = conversation_key_of(case.snapshot.message.conversation_id)
    query = select(cases).where(cases.c.conversation_key == key, cases.c.case_id != case.case_id)
    with store.read() as connection:
        found = [_case(row, with_context=False) for row in connection.execute(query.limit(limit))]
    return {sibling.snapshot.message.message_id: sibling for sibling in found}


def _filtered(query: Select[Any], wanted: CaseFilter) -> Select[Any]:
    if wanted.statuses:
        query = query.where(cases.c.status.in_(wanted.statuses))
    for facet, value in (("label", wanted.label), ("reason", wanted.reason)):
        if value is not None:
            query = query.where(_has_facet(facet, value))
    return query


def _has_facet(facet: str, value: str) -> ColumnElement[bool]:
    wanted = case_facets.alias()
    chosen = select(wanted.c.case_id).where(wanted.c.facet == facet, wanted.c.value == value)
    return cases.c.case_id.in_(chosen)


def _ordered(query: Select[Any], wanted: CaseFilter) -> Select[Any]:
    if wanted.statuses and CaseStatus.OPEN not in wanted.statuses:
        return query.order_by(cases.c.decided_at.desc(), cases.c.case_id)
    open_first = cases.c.decided_at.is_not(None)
    return query.order_by(open_first, cases.c.priority.desc(), cases.c.sent_at, cases.c.case_id)


def _case(row: Any, *, with_context: bool) -> Case:
    return Case(
        case_id=row.case_id,
        status=CaseStatus(row.status),
        snapshot=decode_snapshot(row.snapshot, with_context=with_context),
        digest=row.snapshot_digest,
        opened_at=row.opened_at.astimezone(UTC),
        claimed_by=row.claimed_by,
        claimed_until=row.claimed_until,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
    )
