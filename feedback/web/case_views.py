"""One case: read it in its conversation, decide, go on to the next."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from feedback.cases import Case, CaseFilter, CaseStatus, get_case, sibling_cases
from feedback.claims import claim, claim_next, note_reading, release
from feedback.decisions import decide, decision_history, last_decision, reopen
from feedback.errors import (
    CaseAlreadyDecided,
    CaseChanged,
    CaseClaimed,
    CaseNotDecided,
    FeedbackError,
    InvalidDecision,
)
from feedback.store.audit import list_audit
from feedback.web import wording
from feedback.web.case_urls import case_url
from feedback.web.desk import Desk, DeskDep, SessionDep, check_form
from feedback.web.session import Session

AUDIT_SHOWN = 50

router = APIRouter(prefix="/cases/{case_id}", dependencies=[Depends(check_form)])
FormText = Annotated[str, Form()]


@router.get("", response_class=HTMLResponse)
def show_case(
    request: Request,
    case_id: str,
    desk: DeskDep,
    session: SessionDep,
    label: str = "",
    reason: str = "",
    done: str = "",
) -> Response:
    """Show a case and claim it when it is free; reading somebody else's is recorded too."""
    problem = None
    try:
        case = claim(desk.store, case_id, session.user.name, clock=desk.clock)
    except CaseClaimed as error:
        problem = wording.explain(error, desk.names(), desk.zone, session.user.name)
        case = note_reading(desk.store, case_id, session.user.name, clock=desk.clock)
    except CaseAlreadyDecided:
        case = note_reading(desk.store, case_id, session.user.name, clock=desk.clock)
    return _page(request, desk, session, case, label=label, reason=reason, problem=problem, done=done)


@router.post("/decision", response_class=HTMLResponse)
def decide_case(
    request: Request,
    case_id: str,
    desk: DeskDep,
    session: SessionDep,
    action: FormText = "",
    shown: FormText = "",
    note: FormText = "",
    label: FormText = "",
    reason: FormText = "",
    labels: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Record the decision and lead to the next case. What was refused is told on the case's page."""
    chosen = (labels or []) if action == "relabel" else []
    me = session.user.name
    try:
        decide(
            desk.store,
            case_id,
            me,
            action,
            chosen,
            note,
            clock=desk.clock,
            shown=shown,
            known_labels=desk.catalogue.ids,
        )
    except InvalidDecision as error:
        problem = wording.explain(error, desk.names(), desk.zone, me)
        case, status = get_case(desk.store, case_id), 422
    except (CaseAlreadyDecided, CaseClaimed, CaseChanged) as error:
        problem = wording.explain(error, desk.names(), desk.zone, me)
        case, status = note_reading(desk.store, case_id, me, clock=desk.clock), 409
    else:
        wanted = CaseFilter(label=label or None, reason=reason or None)
        decided = get_case(desk.store, case_id)
        following = claim_next(desk.store, wanted, me, clock=desk.clock, after=decided)
        return RedirectResponse(case_url(following, label, reason, done=case_id), status_code=303)
    return _page(
        request,
        desk,
        session,
        case,
        label=label,
        reason=reason,
        problem=problem,
        status_code=status,
        note=note,
        chosen=frozenset(chosen),
    )


@router.post("/claim", response_class=HTMLResponse)
def keep_claim(request: Request, case_id: str, desk: DeskDep, session: SessionDep) -> Response:
    """Asked for by htmx while the page is open, so that the claim does not run out under the reader."""
    problem, case = None, None
    try:
        case = claim(desk.store, case_id, session.user.name, clock=desk.clock)
    except (CaseAlreadyDecided, CaseClaimed) as error:
        problem = wording.explain(error, desk.names(), desk.zone, session.user.name)
    context = {"case": case, "problem": problem, "session": session}
    return desk.templates.TemplateResponse(request, "fragments/claim.html", context)


@router.post("/skip")
def skip_case(
    case_id: str, desk: DeskDep, session: SessionDep, label: FormText = "", reason: FormText = ""
) -> Response:
    """Put the case back and take the one behind it."""
    skipped = get_case(desk.store, case_id)
    release(desk.store, case_id, session.user.name, clock=desk.clock)
    wanted = CaseFilter(label=label or None, reason=reason or None)
    following = claim_next(desk.store, wanted, session.user.name, clock=desk.clock, after=skipped)
    return RedirectResponse(case_url(following, label, reason), status_code=303)


@router.post("/release")
def release_case(case_id: str, desk: DeskDep, session: SessionDep) -> Response:
    """Put the case back and return to the queue."""
    release(desk.store, case_id, session.user.name, clock=desk.clock)
    return RedirectResponse("/", status_code=303)


@router.post("/reopen", response_class=HTMLResponse)
def reopen_case(
    request: Request, case_id: str, desk: DeskDep, session: SessionDep, note: FormText = ""
) -> Response:
    """Withdraw the decision."""
    try:
        reopen(desk.store, case_id, session.user.name, note=note, clock=desk.clock)
    except (CaseNotDecided, InvalidDecision) as error:
        problem = wording.explain(error, desk.names(), desk.zone, session.user.name)
        case = get_case(desk.store, case_id)
        return _page(
            request, desk, session, case, label="", reason="", problem=problem, status_code=_status(error)
        )
    return RedirectResponse(f"/cases/{case_id}#flagged", status_code=303)


def _status(error: FeedbackError) -> int:
    return 422 if isinstance(error, InvalidDecision) else 409


def _page(
    request: Request,
    desk: Desk,
    session: Session,
    case: Case,
    *,
    label: str,
    reason: str,
    problem: str | None = None,
    status_code: int = 200,
    done: str = "",
    note: str = "",
    chosen: frozenset[str] = frozenset(),
) -> Response:
    history = decision_history(desk.store, case.case_id)
    can_decide = case.status is CaseStatus.OPEN and not case.claimed_by_other(session.user.name, desk.clock())
    verdict = case.snapshot.verdict
    machine = tuple(dict.fromkeys(finding.label for finding in verdict.findings))
    context = {
        "session": session,
        "case": case,
        "message": case.snapshot.message,
        "verdict": verdict,
        "machine_labels": machine,
        "chosen": chosen or frozenset(machine),
        "relabelling": bool(chosen),
        "siblings": sibling_cases(desk.store, case),
        "decision": next((d for d in history if d.withdrawn_at is None), None),
        "trail": list_audit(desk.store, case_id=case.case_id, limit=AUDIT_SHOWN),
        "names": desk.names(),
        "can_decide": can_decide,
        "problem": problem,
        "note": note,
        "filter_label": label,
        "filter_reason": reason,
        "flash": last_decision(desk.store, done) if done and done != case.case_id else None,
    }
    return desk.templates.TemplateResponse(request, "case.html", context, status_code=status_code)
