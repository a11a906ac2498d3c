"""The audit trail of the whole desk."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from feedback.store.audit import count_audit, list_audit
from feedback.store.verify import verify_audit
from feedback.web.desk import DeskDep, SessionDep

ENTRIES_PER_PAGE = 100

router = APIRouter()


@router.get("/history", response_class=HTMLResponse)
def show_history(
    request: Request,
    desk: DeskDep,
    session: SessionDep,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    verify: bool = False,
) -> Response:
    """Newest first; `verify` recomputes the chain."""
    entries = list_audit(desk.store, limit=ENTRIES_PER_PAGE + 1, before=before)
    context = {
        "session": session,
        "entries": entries[:ENTRIES_PER_PAGE],
        "older": entries[ENTRIES_PER_PAGE - 1].seq if len(entries) > ENTRIES_PER_PAGE else None,
        "total": count_audit(desk.store),
        "names": desk.names(),
        "report": verify_audit(desk.store) if verify else None,
    }
    return desk.templates.TemplateResponse(request, "history.html", context)
