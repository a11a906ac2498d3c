"""Signing in and out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from feedback.errors import SignInRefused
from feedback.store.audit import append_audit
from feedback.store.users import sign_in
from feedback.web import wording
from feedback.web.desk import DeskDep, SessionDep, TicketDep, check_form, local_path

router = APIRouter(dependencies=[Depends(check_form)])


@router.get("/login", response_class=HTMLResponse)
def show_login(
    request: Request,
    desk: DeskDep,
    ticket: TicketDep,
    next: str = "/",  # noqa: A002 – the usual name
) -> Response:
    """The form; in the demo nobody needs it."""
    if desk.demo_user is not None:
        return RedirectResponse("/", status_code=303)
    context = {
        "session": None,
        "csrf_token": desk.tickets.form_token(ticket),
        "next": local_path(next),
        "name": "",
    }
    return desk.templates.TemplateResponse(request, "login.html", {**context, "problem": None})


@router.post("/login", response_class=HTMLResponse)
def log_in(
    request: Request,
    desk: DeskDep,
    ticket: TicketDep,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Check the password; a new ticket replaces the one from before."""
    if desk.demo_user is not None:
        return RedirectResponse("/", status_code=303)
    try:
        user = sign_in(desk.store, name.strip(), password, at=desk.clock())
    except SignInRefused as error:
        context = {
            "session": None,
            "csrf_token": desk.tickets.form_token(ticket),
            "next": local_path(next),
            "name": name,
            "problem": wording.explain(error, {}, desk.zone),
        }
        status_code = 429 if error.wait_s else 401
        return desk.templates.TemplateResponse(request, "login.html", context, status_code=status_code)
    request.state.ticket = desk.tickets.new(user.name, desk.clock())
    return RedirectResponse(local_path(next), status_code=303)


@router.post("/logout")
def log_out(request: Request, desk: DeskDep, ticket: TicketDep, session: SessionDep) -> Response:
    """Forget who was here."""
    if not session.demo:
        with desk.store.write() as connection:
            append_audit(connection, at=desk.clock(), actor=session.user.name, action="signed_out")
    request.state.ticket = desk.tickets.new("", desk.clock())
    return RedirectResponse("/login", status_code=303)
