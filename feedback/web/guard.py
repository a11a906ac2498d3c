"""Around every request: size limit, session ticket, security headers."""

from collections.abc import Callable
from datetime import datetime
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback.web.session import COOKIE, SESSION_TTL, Ticket, Tickets

BODY_MAX_BYTES = 64 * 1024

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """
    ASGI middleware. Puts the request's `Ticket` into `scope["state"]["ticket"]`.

    A view changes the cookie by calling `renew` or by setting `state["ticket"]` anew.
    Pages with customers' words are never cached.
    """

    def __init__(
        self, app: ASGIApp, *, tickets: Tickets, clock: Callable[[], datetime], secure_cookies: bool
    ) -> None:
        self._app = app
        self._tickets = tickets
        self._clock = clock
        self._secure = secure_cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and (refused := _size_problem(headers)):
            await refused(scope, receive, send)
            return
        now = self._clock()
        found = self._tickets.read(_cookie(headers), now)
        state = scope.setdefault("state", {})
        state["ticket"] = found or self._tickets.new("", now)
        static = scope["path"].startswith("/static/")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    sent[name] = value
                if not static:
                    sent["cache-control"] = "no-store"
                    if state["ticket"] != found:
                        sent.append("set-cookie", self._set_cookie(state["ticket"]))
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _set_cookie(self, ticket: Ticket) -> str:
        secure = "; Secure" if self._secure else ""
        age_s = int(SESSION_TTL.total_seconds())
        return (
            f"{COOKIE}={self._tickets.seal(ticket)}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}"
        )


def _cookie(headers: Headers) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _size_problem(headers: Headers) -> PlainTextResponse | None:
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return PlainTextResponse("请求缺少长度。", status_code=411)
    if int(length) > BODY_MAX_BYTES:
        return PlainTextResponse("提交的内容过长。", status_code=413)
    return None
