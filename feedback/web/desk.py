"""The parts that every view needs, and who is signed in."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.templating import Jinja2Templates

from feedback.catalogue_view import CatalogueView
from feedback.errors import FeedbackError
from feedback.store.audit import SYSTEM_ACTOR
from feedback.store.desk_store import DeskStore
from feedback.store.users import User, display_names, find_user
from feedback.web.session import Session, Ticket, Tickets
from feedback.web.sync import ThrottledSync


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything the pages are made from."""

    store: DeskStore
    catalogue: CatalogueView
    tickets: Tickets
    clock: Callable[[], datetime]
    sync: ThrottledSync
    templates: Jinja2Templates
    zone: timezone
    demo_user: str | None

    def names(self) -> dict[str, str]:
        """Display name per actor."""
        known = {SYSTEM_ACTOR: "系统"} | display_names(self.store)
        return known | ({self.demo_user: self.demo_user} if self.demo_user else {})


class SignInNeeded(FeedbackError):
    """Nobody is signed in."""


class FormExpired(FeedbackError):
    """A form without the token of its session: too old a page, or not our page at all."""


def get_desk(request: Request) -> Desk:
    """The desk of this app."""
    desk: Desk = request.app.state.desk
    return desk


def get_ticket(request: Request) -> Ticket:
    """This request's ticket, put there by `Guard`."""
    ticket: Ticket = request.state.ticket
    return ticket


DeskDep = Annotated[Desk, Depends(get_desk)]
TicketDep = Annotated[Ticket, Depends(get_ticket)]


def get_session(desk: DeskDep, ticket: TicketDep) -> Session:
    """The signed-in reviewer; a removed user is signed out at once. Raises SignInNeeded."""
    token = desk.tickets.form_token(ticket)
    if desk.demo_user is not None:
        return Session(User(desk.demo_user, desk.demo_user), token, demo=True)
    if ticket.user:
        with desk.store.read() as connection:
            user = find_user(connection, ticket.user)
        if user is not None:
            return Session(user, token, demo=False)
    raise SignInNeeded


async def check_form(request: Request) -> None:
    """Every POST carries its session's token. Raises FormExpired."""
    if request.method == "POST":
        form = await request.form()
        token = form.get("csrf_token")
        desk = get_desk(request)
        if not isinstance(token, str) or not desk.tickets.is_form_token(get_ticket(request), token):
            raise FormExpired


SessionDep = Annotated[Session, Depends(get_session)]


def local_path(path: str) -> str:
    """`path` when it leads to this site, else the queue: no open redirect after signing in."""
    try:
        parts = urlsplit(path)
    except ValueError:  # such as an open bracket where a host would stand
        return "/"
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme
    return path if is_local and not parts.netloc and path.isprintable() else "/"
