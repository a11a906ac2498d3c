"""The queue: what waits, what was decided, filtered."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from feedback.cases import (
    DECIDED,
    CaseFilter,
    CaseStatus,
    count_cases,
    count_matching,
    count_opened_after,
    list_cases,
)
from feedback.claims import claim_next
from feedback.decisions import last_decision
from feedback.intake import count_dead_letters, count_waiting
from feedback.web import wording
from feedback.web.case_urls import case_url
from feedback.web.desk import DeskDep, SessionDep

PAGE_SIZE = 50
STATUS_CHOICES: dict[str, tuple[CaseStatus, ...]] = {
    "open": (CaseStatus.OPEN,),
    "confirmed": (CaseStatus.CONFIRMED,),
    "relabelled": (CaseStatus.RELABELLED,),
    "dismissed": (CaseStatus.DISMISSED,),
    "decided": DECIDED,
    "all": (),
}

router = APIRouter()


@dataclass(frozen=True, slots=True)
class QueueChoice:
    """What the reviewer asked to see, as it stands in the address."""

    status: str
    label: str | None
    reason: str | None

    @property
    def filter(self) -> CaseFilter:
        """As the store takes it. An unknown status shows the open cases."""
        return CaseFilter(STATUS_CHOICES[self.status], self.label, self.reason)


def queue_choice(status: str = "open", label: str = "", reason: str = "") -> QueueChoice:
    """From the address."""
    return QueueChoice(status if status in STATUS_CHOICES else "open", label or None, reason or None)


@router.get("/", response_class=HTMLResponse)
def show_queue(
    request: Request,
    desk: DeskDep,
    session: SessionDep,
    status: str = "open",
    label: str = "",
    reason: str = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    done: str = "",
) -> Response:
    """The list. `done` names a case that was decided just now."""
    desk.sync()
    choice = queue_choice(status, label, reason)
    counts = count_cases(desk.store, choice.filter)
    total = count_matching(desk.store, choice.filter)
    context = {
        "session": session,
        "choice": choice,
        "cases": list_cases(desk.store, choice.filter, limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE),
        "counts": counts,
        "total": total,
        "page": page,
        "pages": max(1, -(-total // PAGE_SIZE)),
        "names": desk.names(),
        "now": desk.clock(),
        "reasons": [r for r in wording.REASON if r in counts.by_reason or r == choice.reason],
        "sync_failed": desk.sync.failed,
        "waiting": count_waiting(desk.store),
        "dead_letters": count_dead_letters(desk.store),
        "flash": last_decision(desk.store, done) if done else None,
    }
    return desk.templates.TemplateResponse(request, "queue.html", context)


@router.get("/queue/news", response_class=HTMLResponse)
def show_news(request: Request, desk: DeskDep, session: SessionDep, after: datetime) -> Response:
    """A line for the top of an open page when cases came in since `after`; asked for by htmx."""
    desk.sync()
    since = after if after.tzinfo else after.replace(tzinfo=desk.zone)
    context = {"session": session, "fresh": count_opened_after(desk.store, since)}
    return desk.templates.TemplateResponse(request, "fragments/news.html", context)


@router.get("/next")
def start_next(desk: DeskDep, session: SessionDep, label: str = "", reason: str = "") -> Response:
    """Take the most urgent case nobody works on."""
    desk.sync()
    choice = queue_choice("open", label, reason)
    case = claim_next(desk.store, choice.filter, session.user.name, clock=desk.clock)
    return RedirectResponse(case_url(case, label, reason), status_code=303)
