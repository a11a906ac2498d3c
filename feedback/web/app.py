"""Builds the review desk."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from feedback.catalogue_view import CatalogueView
from feedback.errors import CaseNotFound, FeedbackError
from feedback.store.desk_store import DeskStore
from feedback.web import account_views, api_views, case_views, history_views, queue_views, wording
from feedback.web.desk import Desk, FormExpired, SignInNeeded, get_session
from feedback.web.guard import SECURITY_HEADERS, Guard
from feedback.web.session import Session, Tickets
from feedback.web.sync import ThrottledSync
from feedback.web.templating import HERE, make_templates

logger = logging.getLogger(__name__)

_TITLES = {
    400: ("请求有误", "地址或提交的内容不完整，请返回上一页再试。"),
    403: ("页面已过期", "为了安全，这次提交没有执行。请返回上一页，刷新后重试。"),
    404: ("没有这个页面", "地址可能不完整，或案件属于另一个环境。"),
    405: ("请求有误", "这个地址不支持这种操作。"),
    422: ("请求有误", "地址或提交的内容不完整，请返回上一页再试。"),
    500: ("出错了", "页面没有打开，您的操作可能没有保存。请稍后重试；若仍然如此，请联系管理员。"),
}


def create_desk(
    *,
    store: DeskStore,
    catalogue: CatalogueView,
    secret_key: str,
    demo_user: str | None = None,
    clock: Callable[[], datetime],
    sync: Callable[[], None] | None = None,
    zone: timezone = wording.BEIJING,
    allowed_hosts: Sequence[str] = ("*",),
    secure_cookies: bool = False,
) -> FastAPI:
    """
    The desk as an ASGI app. It owns no resource: the caller opens and closes `store`.

    `sync` pulls new cases into the store when the queue is looked at, at most every few
    seconds. With `demo_user` everybody who reaches the desk is that reviewer: bind it to
    127.0.0.1, and name the host in `allowed_hosts`. Behind HTTPS set `secure_cookies`.
    Raises ValueError when `secret_key` is shorter than 32 characters.
    """
    tickets = Tickets(secret_key)
    app = FastAPI(
        title="redline 复核台",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts)),
            Middleware(Guard, tickets=tickets, clock=clock, secure_cookies=secure_cookies),
        ],
    )
    app.state.desk = Desk(
        store=store,
        catalogue=catalogue,
        tickets=tickets,
        clock=clock,
        sync=ThrottledSync(sync, clock),
        templates=make_templates(catalogue, clock, zone),
        zone=zone,
        demo_user=demo_user,
    )
    for views in (queue_views, case_views, history_views, account_views, api_views):
        app.include_router(views.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.add_exception_handler(SignInNeeded, _ask_to_sign_in)
    app.add_exception_handler(FormExpired, _form_expired)
    app.add_exception_handler(FeedbackError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _broken)
    return app


def _ask_to_sign_in(request: Request, _error: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": "sign_in_needed"}, status_code=401)
    wanted = request.url.path if request.method == "GET" else "/"
    target = f"/login?next={quote(wanted)}"
    if request.headers.get("hx-request"):
        return Response(status_code=200, headers={"HX-Redirect": target})
    return RedirectResponse(target, status_code=303)


def _form_expired(request: Request, _error: Exception) -> Response:
    return _error_page(request, 403)


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, CaseNotFound):
        return _error_page(request, 404, ("没有这个案件", "它可能属于另一个环境，或链接不完整。"))
    assert isinstance(error, FeedbackError)
    desk: Desk = request.app.state.desk
    return _error_page(request, 409, ("没有成功", wording.explain(error, desk.names(), desk.zone)))


def _invalid(request: Request, _error: Exception) -> Response:
    return _error_page(request, 422)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error_page(request, error.status_code)


def _broken(request: Request, error: Exception) -> Response:
    logger.error("desk request failed: %s %s: %s", request.method, request.url.path, type(error).__name__)
    response = _error_page(request, 500)
    response.headers.update(SECURITY_HEADERS)  # this answer is made outside of Guard
    return response


def _error_page(request: Request, status_code: int, words: tuple[str, str] | None = None) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": status_code}, status_code=status_code)
    title, text = words or _TITLES.get(status_code, _TITLES[500 if status_code >= 500 else 400])
    desk: Desk = request.app.state.desk
    context = {"session": _session(request, desk), "title": title, "text": text, "code": status_code}
    return desk.templates.TemplateResponse(request, "error.html", context, status_code=status_code)


def _session(request: Request, desk: Desk) -> Session | None:
    try:
        return get_session(desk, request.state.ticket)
    except Exception:  # the error page must not fail for want of a name
        return None
