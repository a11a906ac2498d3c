"""For machines: is the desk alive, and the cases as JSON. It changes none; who was given which is recorded."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from feedback.cases import Case, count_matching, list_cases
from feedback.claims import note_list_reading
from feedback.errors import DeskStoreError
from feedback.web.desk import DeskDep, SessionDep
from feedback.web.queue_views import queue_choice
from streams.codec import encode_message, encode_verdict

router = APIRouter()


@router.get("/healthz")
def healthz(desk: DeskDep) -> Response:
    """200 while the desk store answers, else 503. Says nothing about its content."""
    try:
        desk.store.ping()
    except DeskStoreError:
        return JSONResponse({"status": "store_unreachable"}, status_code=503)
    return JSONResponse({"status": "ok"})


@router.get("/api/cases")
def cases_json(
    desk: DeskDep,
    session: SessionDep,
    status: str = "open",
    label: str = "",
    reason: str = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    """The same filters as the queue; message and verdict in their wire form. Whole texts leave the desk: an audit entry says so."""
    desk.sync()
    wanted = queue_choice(status, label, reason).filter
    found = list_cases(desk.store, wanted, limit=limit, offset=offset)
    note_list_reading(desk.store, found, session.user.name, clock=desk.clock)
    total = count_matching(desk.store, wanted)
    body = {"total": total, "offset": offset, "cases": [_case_json(case) for case in found]}
    return Response(orjson.dumps(body), media_type="application/json")


def _case_json(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "url": f"/cases/{case.case_id}",
        "status": str(case.status),
        "opened_at": case.opened_at,
        "claimed_by": case.claimed_by,
        "claimed_until": case.claimed_until,
        "decided_by": case.decided_by,
        "decided_at": case.decided_at,
        "shown": case.digest,
        "message": orjson.Fragment(encode_message(case.snapshot.message)),
        "verdict": orjson.Fragment(encode_verdict(case.snapshot.verdict)),
    }
