"""A reviewer's way through the desk in a real browser, over a restart of the app."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
import uvicorn
from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright

from detectors.domain import Severity
from feedback.cases import open_cases
from feedback.catalogue_view import CatalogueView, LabelView
from feedback.decisions import decided_cases
from feedback.snapshot import decode_snapshot
from feedback.store.desk_store import open_desk_store
from feedback.store.verify import verify_audit
from feedback.web.app import create_desk
from tests.desk_samples import seed_case_id

pytestmark = pytest.mark.browser

SEED = Path(__file__).parents[1] / "feedback" / "data" / "desk_seed.json"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_DEADLINE_SEC = 20
WIDTHS = ((1280, 800), (390, 844))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("no Chromium: apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield launched
        launched.close()


def _catalogue() -> CatalogueView:
    data = orjson.loads(SEED.read_bytes())
    labels = [LabelView(**{**label, "severity": Severity(label["severity"])}) for label in data["labels"]]
    return CatalogueView(tuple(labels), law_titles=data["laws"], trait_names=data["traits"])


def _clock() -> datetime:
    return datetime.now(UTC)


def _fill(url: str) -> None:
    store = open_desk_store(url)
    snapshots = [
        decode_snapshot(orjson.dumps(case).decode()) for case in orjson.loads(SEED.read_bytes())["cases"]
    ]
    open_cases(store, [(snapshot.turn, snapshot.verdict) for snapshot in snapshots], clock=_clock)
    store.close()


@contextmanager
def _serving(url: str) -> Iterator[str]:
    """The whole app on a free port of loopback, started and stopped."""
    store = open_desk_store(url)
    app = create_desk(
        store=store,
        catalogue=_catalogue(),
        secret_key="only-for-tests-only-for-tests-only-for-tests",
        demo_user="演示复核员",
        clock=_clock,
        allowed_hosts=("127.0.0.1",),
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline = time.monotonic() + START_DEADLINE_SEC
            while not server.started:
                assert time.monotonic() < deadline, "the desk did not start"
                time.sleep(0.02)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(START_DEADLINE_SEC)
            store.close()


@contextmanager
def _page(browser: Browser, *, width: int = 1280, height: int = 800, scripts: bool = True) -> Iterator[Page]:
    """A page; when it closes, nothing may have gone wrong in it."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale="zh-CN", java_script_enabled=scripts
    )
    page = context.new_page()
    wrong: list[str] = []

    def refuse(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("dialog", refuse)
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def url(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path / 'desk.db'}"
    _fill(address)
    return address


def test_a_decision_survives_a_restart(browser: Browser, url: str) -> None:
    """Queue → a flagged message in its conversation → confirm, dismiss, relabel → restart → still there."""
    with _serving(url) as address, _page(browser) as page:
        page.goto(address)
        expect(page.locator("[data-row]")).to_have_count(8)
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.locator("#flagged mark")).to_have_text(["4%打底没问题", "亏了我个人给您补上"])
        expect(page.locator(".turn.customer").last).to_contain_text("你能保证4%吗")
        page.get_by_label("备注").fill("上文客户问能否保证")
        page.get_by_role("button", name="确认违规").click()
        expect(page.get_by_role("status")).to_contain_text("确认违规")
        expect(page.locator("#flagged mark").first).to_have_text("测评重新做一下")
        page.keyboard.press("d")
        expect(page.get_by_role("status")).to_contain_text("不违规")
        page.keyboard.press("r")
        page.get_by_label("明示或暗示保证").uncheck()
        page.get_by_role("button", name="按所选标签提交").click()
        expect(page.get_by_role("status")).to_contain_text("改标签")
    with _serving(url) as address, _page(browser) as page:
        page.goto(address)
        expect(page.locator("[data-row]")).to_have_count(5)
        page.goto(f"{address}/cases/{seed_case_id('conv-7101-04')}")
        expect(page.locator(".decided")).to_contain_text("已确认违规")
        expect(page.locator(".decided")).to_contain_text("上文客户问能否保证")
        page.goto(f"{address}/history?verify=true")
        expect(page.get_by_role("status")).to_contain_text("校验通过")
    store = open_desk_store(url)
    assert [
        ("conv-7101-04", frozenset({"guaranteed_return"})),
        ("conv-7102-03", frozenset()),
        ("conv-7103-02", frozenset({"guaranteed_return"})),
    ] == [(decided.message.message_id, decided.labels) for decided in decided_cases(store)]
    assert verify_audit(store).ok
    store.close()


def test_the_desk_works_without_scripts(browser: Browser, url: str) -> None:
    with _serving(url) as address, _page(browser, scripts=False) as page:
        page.goto(address)
        page.get_by_role("link", name="开始复核").click()
        page.get_by_role("button", name="确认违规").click()
        expect(page.get_by_role("status")).to_contain_text("确认违规")
        page.locator("summary", has_text="改标签").click()
        page.get_by_label("敏感话题言论").check()
        page.get_by_role("button", name="按所选标签提交").click()
        expect(page.get_by_role("status")).to_contain_text("改标签")
        page.get_by_role("button", name="撤回").click()
        expect(page.locator("#case-title")).to_have_text("锐进成长混合C")
        page.get_by_role("button", name="先跳过").click()
        expect(page.locator("#case-title")).to_have_text("安和月月添利3号")


def test_a_transcript_cannot_run_in_the_reviewers_browser(browser: Browser, url: str) -> None:
    with _serving(url) as address, _page(browser) as page:
        page.goto(f"{address}/cases/{seed_case_id('conv-7107-02')}")
        expect(page.locator(".turn.customer .bubble")).to_contain_text("<script>alert('xss')</script>")
        page.locator("#flagged .bubble").hover()
        assert page.locator(".bubbles script, .bubbles b").count() == 0


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_pages_fit_their_width(browser: Browser, url: str, width: int, height: int) -> None:
    with _serving(url) as address, _page(browser, width=width, height=height) as page:
        for path in (
            "/",
            f"/cases/{seed_case_id('conv-7102-05')}",
            "/history?verify=true",
            "/?status=dismissed",
        ):
            page.goto(address + path)
            assert width >= page.evaluate("document.documentElement.scrollWidth"), path


def test_the_decision_is_in_sight_on_a_desk_screen(browser: Browser, url: str) -> None:
    with _serving(url) as address, _page(browser) as page:
        for message_id in ("conv-7101-04", "conv-7102-05", "conv-7107-02"):
            page.goto(f"{address}/cases/{seed_case_id(message_id)}#flagged")
            expect(page.get_by_role("button", name="确认违规")).to_be_in_viewport(ratio=1)
            expect(page.locator("#flagged")).to_be_in_viewport(ratio=1)
