"""The pages, called in process: what they show, what they refuse, and that they need no script."""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from html import unescape
from typing import Protocol

import httpx
import pytest
from fastapi import FastAPI

from detectors.domain import Turn, Verdict
from feedback.cases import CaseStatus, get_case
from feedback.catalogue_view import CatalogueView
from feedback.claims import claim
from feedback.decisions import decide, last_decision
from feedback.intake import note_dead_letters
from feedback.store.audit import list_audit
from feedback.store.desk_store import DeskStore
from feedback.store.users import LOCK_SEC, TRIES_BEFORE_LOCK, add_user
from feedback.store.verify import verify_audit
from feedback.web.app import create_desk
from feedback.web.guard import BODY_MAX_BYTES
from feedback.web.sync import SYNC_INTERVAL
from tests.desk_samples import seed_case_id

SECRET = "only-for-tests-only-for-tests-only-for-tests"
GUARANTEE = seed_case_id("conv-7101-04")
SCRIPT_CASE = seed_case_id("conv-7107-02")
PASSWORD = "correct horse battery"

Clock = Callable[[], datetime]
Fill = Callable[[DeskStore], list[tuple[Turn, Verdict]]]


class MovableClock(Protocol):
    """The `clock` fixture, for tests that let time pass."""

    def __call__(self) -> datetime: ...

    def forward(self, **by: float) -> None: ...


class DeskClient:
    """Calls the app in process, keeps its cookies and follows redirects."""

    def __init__(self, app: FastAPI, *, raises: bool) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=raises)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://desk.test")

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def get(
        self, path: str, *, params: dict[str, str] | None = None, follow_redirects: bool = True
    ) -> httpx.Response:
        url = httpx.URL(path, params=params) if params else path
        return asyncio.run(self._client.get(url, follow_redirects=follow_redirects))

    def post(self, path: str, *, data: Mapping[str, object], follow_redirects: bool = True) -> httpx.Response:
        return asyncio.run(self._client.post(path, data=data, follow_redirects=follow_redirects))


MakeDesk = Callable[..., DeskClient]


@pytest.fixture
def make_desk(sqlite_store: DeskStore, catalogue: CatalogueView, clock: Clock) -> MakeDesk:
    def made(
        *, demo_user: str | None = "演示复核员", sync: Callable[[], None] | None = None, raises: bool = True
    ) -> DeskClient:
        app = create_desk(
            store=sqlite_store,
            catalogue=catalogue,
            secret_key=SECRET,
            demo_user=demo_user,
            clock=clock,
            sync=sync,
        )
        return DeskClient(app, raises=raises)

    return made


@pytest.fixture
def desk(make_desk: MakeDesk, sqlite_store: DeskStore, fill: Fill) -> DeskClient:
    fill(sqlite_store)
    return make_desk()


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None
    return found.group(1)


def _decide(desk: DeskClient, case_id: str, action: str, **fields: object) -> httpx.Response:
    page = desk.get(f"/cases/{case_id}").text
    shown = re.search(r'name="shown" value="(\w+)"', page)
    form = {"csrf_token": _token(page), "shown": shown.group(1) if shown else "", "action": action, **fields}
    return desk.post(f"/cases/{case_id}/decision", data=form, follow_redirects=False)


def test_the_queue_shows_what_waits(desk: DeskClient) -> None:
    page = desk.get("/")
    assert page.status_code == 200
    for words in ("待复核", "业绩保证", "理财经理 沈佳", "安和稳健六个月持有债券A", "演示模式"):
        assert words in page.text
    assert '<mark title="业绩保证">4%打底没问题</mark>' in page.text
    assert page.text.count("data-row") == 8
    assert 'lang="zh-CN"' in page.text


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("label=risk_questionnaire_tampering", 2),
        ("reason=disagreement", 1),
        ("status=dismissed", 0),
        ("status=all", 8),
        ("status=no-such", 8),
        ("label=no-such", 0),
    ],
)
def test_the_queue_is_filtered(desk: DeskClient, query: str, rows: int) -> None:
    assert rows == desk.get(f"/?{query}").text.count("data-row")


def test_an_empty_queue_says_so(make_desk: MakeDesk) -> None:
    assert "都处理完了" in make_desk().get("/").text


def test_a_case_shows_conversation_reason_and_law(desk: DeskClient) -> None:
    page = desk.get(f"/cases/{GUARANTEE}").text
    for words in (
        "你能保证4%吗？",
        '<mark title="业绩保证">亏了我个人给您补上</mark>',
        "loss-will-be-covered",
        "《证券投资基金法》第二十条第（四）项",
        "误导性预期",
        "cn-pack-7f3a91",
        "置信度 98%",
    ):
        assert words in page
    assert page.count('id="flagged"') == 1


def test_transcripts_are_never_markup(desk: DeskClient) -> None:
    for path in ("/", f"/cases/{SCRIPT_CASE}", "/history"):
        page = desk.get(path).text
        assert "<script>alert" not in page
        assert "<b onmouseover" not in page
    assert "<script>alert('xss')</script>" in unescape(desk.get(f"/cases/{SCRIPT_CASE}").text)


def test_a_note_is_never_markup(desk: DeskClient) -> None:
    _decide(desk, GUARANTEE, "dismiss", note="<img src=x onerror=alert(1)>")
    for path in (f"/cases/{GUARANTEE}", "/history"):
        assert "<img" not in desk.get(path).text


def test_pages_load_nothing_from_elsewhere(desk: DeskClient) -> None:
    for path in ("/", f"/cases/{GUARANTEE}", "/history"):
        page = desk.get(path)
        assert page.headers["content-security-policy"].startswith("default-src 'self';")
        assert page.headers["cache-control"] == "no-store"
        assert re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", page.text) is None
        assert re.search(r"<[^>]+\son\w+=|<[^>]+\sstyle=|<script>|<style", page.text) is None
        for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
            assert desk.get(asset).status_code == 200


@pytest.mark.parametrize(
    ("action", "labels", "status"),
    [
        ("confirm", [], CaseStatus.CONFIRMED),
        ("dismiss", ["guaranteed_return"], CaseStatus.DISMISSED),
        ("relabel", ["implied_guarantee"], CaseStatus.RELABELLED),
    ],
)
def test_a_decision_leads_to_the_next_case(
    desk: DeskClient, sqlite_store: DeskStore, action: str, labels: list[str], status: CaseStatus
) -> None:
    answer = _decide(desk, GUARANTEE, action, labels=labels, note="看过上文")
    assert answer.status_code == 303
    following = seed_case_id("conv-7102-03")
    assert f"/cases/{following}?done={GUARANTEE}#flagged" == answer.headers["location"]
    assert status is get_case(sqlite_store, GUARANTEE).status
    decision = last_decision(sqlite_store, GUARANTEE)
    assert decision is not None
    assert (decision.reviewer, decision.note) == ("演示复核员", "看过上文")
    assert "已记录" in desk.get(answer.headers["location"]).text
    assert verify_audit(sqlite_store).ok


def test_the_last_decision_leads_to_the_empty_queue(desk: DeskClient) -> None:
    answer = desk.get("/next", follow_redirects=False)
    for _ in range(8):
        case_id = answer.headers["location"].split("/")[2].split("?")[0].split("#")[0]
        answer = _decide(desk, case_id, "dismiss")
    assert answer.headers["location"].startswith("/?done=")
    page = desk.get(answer.headers["location"]).text
    assert "都处理完了" in page
    assert "已记录" in page


def test_a_useless_decision_is_explained_and_keeps_the_note(
    desk: DeskClient, sqlite_store: DeskStore
) -> None:
    answer = _decide(desk, GUARANTEE, "relabel", note="这句我写了很久")
    assert answer.status_code == 422
    assert "请至少选一个标签" in answer.text
    assert "这句我写了很久</textarea>" in answer.text
    assert CaseStatus.OPEN is get_case(sqlite_store, GUARANTEE).status


def test_a_case_decided_meanwhile_is_told(
    desk: DeskClient, sqlite_store: DeskStore, clock: MovableClock
) -> None:
    page = desk.get(f"/cases/{GUARANTEE}").text
    clock.forward(minutes=11)
    decide(sqlite_store, GUARANTEE, "王敏", "confirm", clock=clock)
    form = {
        "csrf_token": _token(page),
        "shown": get_case(sqlite_store, GUARANTEE).digest,
        "action": "dismiss",
    }
    answer = desk.post(f"/cases/{GUARANTEE}/decision", data=form)
    assert answer.status_code == 409
    assert "王敏 已在 15:11 处理了这条，以先提交的为准" in answer.text
    assert CaseStatus.CONFIRMED is get_case(sqlite_store, GUARANTEE).status


def test_a_case_that_somebody_else_works_on_cannot_be_decided(
    desk: DeskClient, sqlite_store: DeskStore, clock: Clock
) -> None:
    claim(sqlite_store, GUARANTEE, "王敏", clock=clock)
    assert "王敏 正在处理" in desk.get("/").text
    page = desk.get(f"/cases/{GUARANTEE}").text
    assert "王敏 正在处理这条（保留至 15:10）" in page
    assert 'name="action"' not in page
    assert list_audit(sqlite_store, case_id=GUARANTEE)[0].action == "case_read"
    assert _decide(desk, seed_case_id("conv-7102-03"), "confirm", shown="0" * 64).status_code == 409


def test_skip_release_and_withdraw(desk: DeskClient, sqlite_store: DeskStore) -> None:
    token = {"csrf_token": _token(desk.get(f"/cases/{GUARANTEE}").text)}
    skipped = desk.post(f"/cases/{GUARANTEE}/skip", data=token, follow_redirects=False)
    assert f"/cases/{seed_case_id('conv-7102-03')}" == skipped.headers["location"].removesuffix("#flagged")
    assert get_case(sqlite_store, GUARANTEE).claimed_by is None
    _decide(desk, GUARANTEE, "confirm")
    desk.post(f"/cases/{GUARANTEE}/reopen", data=token)
    assert CaseStatus.OPEN is get_case(sqlite_store, GUARANTEE).status
    assert desk.post(f"/cases/{GUARANTEE}/reopen", data=token).status_code == 409
    desk.get(f"/cases/{GUARANTEE}")
    desk.post(f"/cases/{GUARANTEE}/release", data=token)
    assert get_case(sqlite_store, GUARANTEE).claimed_by is None


@pytest.mark.parametrize("action", ["decision", "skip", "release", "reopen", "claim"])
@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_form_without_its_token_is_refused(
    desk: DeskClient, sqlite_store: DeskStore, action: str, token: str
) -> None:
    desk.get("/")
    before = len(list_audit(sqlite_store))
    form = {"csrf_token": token, "action": "confirm"}
    answer = desk.post(f"/cases/{GUARANTEE}/{action}", data=form)
    assert answer.status_code == 403
    assert "页面已过期" in answer.text
    assert before == len(list_audit(sqlite_store))


def test_a_body_that_is_too_large_is_refused(desk: DeskClient) -> None:
    form = {"note": "长" * BODY_MAX_BYTES}
    assert desk.post(f"/cases/{GUARANTEE}/decision", data=form).status_code == 413


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nowhere", 404, "没有这个页面"),
        ("/cases/nope", 404, "没有这个案件"),
        ("/?page=0", 422, "请求有误"),
        ("/history?before=x", 422, "请求有误"),
        ("/logout", 405, "请求有误"),
        ("/docs", 404, "没有这个页面"),
        ("/openapi.json", 404, "没有这个页面"),
    ],
)
def test_errors_are_pages_in_chinese(desk: DeskClient, path: str, status: int, words: str) -> None:
    answer = desk.get(path)
    assert status == answer.status_code
    assert words in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_a_broken_page_says_so(make_desk: MakeDesk, sqlite_store: DeskStore) -> None:
    desk = make_desk(raises=False)
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("DROP TABLE case_facets")
    answer = desk.get("/")
    assert answer.status_code == 500
    assert "出错了" in answer.text
    assert "case_facets" not in answer.text


def test_the_history_shows_actions_and_checks_the_chain(desk: DeskClient, sqlite_store: DeskStore) -> None:
    _decide(desk, GUARANTEE, "confirm")
    page = desk.get("/history?verify=true").text
    assert "校验通过" in page
    assert "确认违规" in page
    assert verify_audit(sqlite_store).head_hash in page, "whole, so that it can be kept elsewhere"
    assert "能改写整个数据库的人可以重算全链" in page
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("UPDATE decisions SET action = 'dismiss'")
    assert "判定与记录不符" in desk.get("/history?verify=true").text


def test_cases_are_read_as_json(desk: DeskClient) -> None:
    answer = desk.get("/api/cases?label=guaranteed_return&limit=1").json()
    assert answer["total"] == 2
    (case,) = answer["cases"]
    assert "conv-7101-04" == case["message"]["message_id"] == case["verdict"]["message_id"]
    assert ("open", f"/cases/{GUARANTEE}") == (case["status"], case["url"])
    assert desk.get("/api/cases?limit=0").status_code == 422
    assert desk.post("/api/cases", data={}).status_code == 405


def test_who_is_given_cases_as_json_is_recorded_once_an_answer(
    desk: DeskClient, sqlite_store: DeskStore
) -> None:
    before = len(list_audit(sqlite_store))
    given = [case["case_id"] for case in desk.get("/api/cases?limit=3").json()["cases"]]
    assert not desk.get("/api/cases?status=dismissed").json()["cases"]
    entry, *others = list_audit(sqlite_store)
    assert before == len(others)
    assert ("演示复核员", "cases_read", {"cases": given}) == (entry.actor, entry.action, entry.detail)
    page = desk.get("/history?verify=true").text
    assert "经接口读取</span> 3 件" in page
    assert "校验通过" in page


def test_healthz_needs_no_sign_in(make_desk: MakeDesk) -> None:
    assert make_desk(demo_user=None).get("/healthz").json() == {"status": "ok"}


def test_new_cases_are_pulled_when_the_queue_is_shown_but_not_all_the_time(
    make_desk: MakeDesk, sqlite_store: DeskStore, fill: Fill, clock: MovableClock
) -> None:
    pulls: list[int] = []

    def sync() -> None:
        pulls.append(1)
        fill(sqlite_store)

    desk = make_desk(sync=sync)
    assert desk.get("/").text.count("data-row") == 8
    desk.get("/")
    assert len(pulls) == 1
    clock.forward(seconds=SYNC_INTERVAL.total_seconds())
    desk.get("/")
    assert len(pulls) == 2


def test_a_source_that_fails_does_not_hide_the_queue(
    make_desk: MakeDesk, sqlite_store: DeskStore, fill: Fill
) -> None:
    fill(sqlite_store)

    def sync() -> None:
        raise OSError("no route to the event store")

    page = make_desk(sync=sync).get("/")
    assert page.text.count("data-row") == 8
    assert "暂时拉取不到新案件" in page.text


def test_records_that_could_not_be_judged_are_told(desk: DeskClient, sqlite_store: DeskStore) -> None:
    assert "无法判定" not in desk.get("/").text
    note_dead_letters(sqlite_store, 3)
    assert "有 3 条记录无法判定" in desk.get("/").text
    note_dead_letters(sqlite_store, 0)
    assert "无法判定" not in desk.get("/").text


def test_news_are_told_once_there_are_some(desk: DeskClient, clock: MovableClock) -> None:
    after = {"after": clock().isoformat()}
    assert desk.get("/queue/news", params=after).text.strip() == ""
    earlier = {"after": clock().replace(year=2020).isoformat()}
    assert "有 8 条新案件" in desk.get("/queue/news", params=earlier).text


@pytest.fixture
def closed_desk(make_desk: MakeDesk, sqlite_store: DeskStore, fill: Fill, clock: Clock) -> DeskClient:
    """Without demo mode, with one reviewer."""
    fill(sqlite_store)
    add_user(sqlite_store, "wang", display_name="王敏", password=PASSWORD, at=clock(), actor="system")
    return make_desk(demo_user=None)


def _sign_in(desk: DeskClient, password: str = PASSWORD, *, goal: str = "/") -> httpx.Response:
    page = desk.get("/login", params={"next": goal}).text
    goal = unescape(re.findall(r'name="next" value="([^"]*)"', page)[0])
    form = {"csrf_token": _token(page), "name": "wang", "password": password, "next": goal}
    return desk.post("/login", data=form, follow_redirects=False)


@pytest.mark.parametrize(
    "path", ["/", f"/cases/{GUARANTEE}", "/history", "/next", "/queue/news?after=2026-01-01"]
)
def test_without_signing_in_nothing_is_shown(closed_desk: DeskClient, path: str) -> None:
    answer = closed_desk.get(path, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/")
    assert closed_desk.get("/api/cases").status_code == 401


def test_signing_in_and_out(closed_desk: DeskClient, sqlite_store: DeskStore) -> None:
    answer = _sign_in(closed_desk, goal=f"/cases/{GUARANTEE}")
    assert (303, f"/cases/{GUARANTEE}") == (answer.status_code, answer.headers["location"])
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert _decide(closed_desk, GUARANTEE, "confirm").status_code == 303
    assert "王敏" in closed_desk.get("/").text
    closed_desk.post("/logout", data={"csrf_token": _token(closed_desk.get("/").text)})
    assert closed_desk.get("/", follow_redirects=False).status_code == 303
    actions = [(e.actor, e.action) for e in list_audit(sqlite_store)]
    assert actions[0] == ("wang", "signed_out")
    assert ("wang", "signed_in") in actions
    assert ("wang", "case_confirmed") in actions


def test_a_changed_or_old_cookie_signs_nobody_in(closed_desk: DeskClient, clock: MovableClock) -> None:
    _sign_in(closed_desk)
    cookie = closed_desk.cookies["redline_session"]
    closed_desk.cookies.set("redline_session", cookie[:-2] + ("AA" if cookie[-2:] != "AA" else "BB"))
    assert closed_desk.get("/", follow_redirects=False).status_code == 303
    closed_desk.cookies.clear()
    _sign_in(closed_desk)
    assert closed_desk.get("/", follow_redirects=False).status_code == 200
    clock.forward(hours=12)
    assert closed_desk.get("/", follow_redirects=False).status_code == 303


def test_guessing_passwords_is_slowed_down(closed_desk: DeskClient, clock: MovableClock) -> None:
    for _ in range(TRIES_BEFORE_LOCK):
        answer = _sign_in(closed_desk, "wrong password")
        assert (answer.status_code, "用户名或密码不对" in answer.text) == (401, True)
    locked = _sign_in(closed_desk)
    assert locked.status_code == 429
    assert "密码错误次数过多" in locked.text
    clock.forward(seconds=LOCK_SEC)
    assert _sign_in(closed_desk).status_code == 303


@pytest.mark.parametrize(
    "goal", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "//[", "//[x]"]
)
def test_signing_in_leads_nowhere_else(closed_desk: DeskClient, goal: str) -> None:
    assert _sign_in(closed_desk, goal=goal).headers["location"] == "/"


def test_a_short_secret_is_refused(sqlite_store: DeskStore, catalogue: CatalogueView, clock: Clock) -> None:
    with pytest.raises(ValueError, match="32 characters"):
        create_desk(store=sqlite_store, catalogue=catalogue, secret_key="short", clock=clock)
