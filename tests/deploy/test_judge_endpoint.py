"""The wire to the LLM judge, against a real HTTP server: what it sends, and what it takes for no answer."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.dev.process import free_ports
from deploy.judge_endpoint import MAX_ANSWER_BYTES, ChatEndpoint
from deploy.settings import SettingsError
from detectors.judge import Request
from streams.errors import EndpointError
from tests.llm_endpoint import LlmEndpoint, Reply, llm_endpoint, saying

KEY = "sk-geheim-geheim"
REQUEST: Request = {"model": "m", "messages": [{"content": "甲"}, {"content": '{"text": "客户的话"}'}]}


@pytest.fixture
def server() -> Iterator[LlmEndpoint]:
    with llm_endpoint(saying("好")) as serving:
        yield serving


def client(url: str, *, timeout_sec: float = 5.0, key: str | None = None) -> ChatEndpoint:
    return ChatEndpoint(
        url, key=key, ca_file=None, timeout_sec=timeout_sec, retry_pauses_sec=(0.0, 0.0), wait=lambda _: None
    )


def refused(url: str, *, timeout_sec: float = 5.0) -> EndpointError:
    with closing(client(url, timeout_sec=timeout_sec)) as endpoint, pytest.raises(EndpointError) as caught:
        endpoint.complete(REQUEST)
    assert "客户的话" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("slash", ["", "/"])
def test_answer_comes_back_and_the_key_goes_along(server: LlmEndpoint, slash: str) -> None:
    with closing(client(server.url + slash, key=KEY)) as endpoint:
        assert "好" == endpoint.complete(REQUEST)
        assert "好" == endpoint.complete(REQUEST)
    assert [REQUEST, REQUEST] == server.asked
    assert [f"Bearer {KEY}"] * 2 == server.bearers


def test_without_a_key_none_is_sent(server: LlmEndpoint) -> None:
    with closing(client(server.url)) as endpoint:
        endpoint.complete(REQUEST)
    assert [None] == server.bearers


def test_no_proxy_of_the_environment_sees_it(server: LlmEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    with llm_endpoint(saying("我是代理")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        with closing(client(server.url)) as endpoint:
            assert "好" == endpoint.complete(REQUEST)
    assert [] == proxy.asked


def test_redirect_is_not_followed(server: LlmEndpoint) -> None:
    with llm_endpoint(saying("外面")) as elsewhere:
        server.says = lambda _: Reply(307, headers={"Location": elsewhere.url + "/chat/completions"})
        assert "http_307" == refused(server.url).kind
    assert [] == elsewhere.asked


@pytest.mark.parametrize(("status", "tries"), [(503, 3), (429, 3), (401, 1), (400, 1), (204, 1)])
def test_only_what_may_pass_is_tried_again(server: LlmEndpoint, status: int, tries: int) -> None:
    server.says = lambda _: Reply(status)
    error = refused(server.url)
    assert (f"http_{status}", tries) == (error.kind, len(server.asked))


def test_server_that_was_busy_is_heard(server: LlmEndpoint) -> None:
    server.says = lambda _: Reply(503) if len(server.asked) < 3 else "好"
    with closing(client(server.url)) as endpoint:
        assert "好" == endpoint.complete(REQUEST)


def test_key_is_not_told(server: LlmEndpoint) -> None:
    server.says = lambda _: Reply(401, KEY.encode())
    with closing(client(server.url, key=KEY)) as endpoint, pytest.raises(EndpointError) as caught:
        endpoint.complete(REQUEST)
    assert KEY not in f"{caught.value} {endpoint!r} {vars(endpoint)}"


def test_slow_answer_is_given_up_once(server: LlmEndpoint) -> None:
    def slowly(_: object) -> str:
        server.ended.wait(5)
        return "好"

    server.says = slowly
    began = time.monotonic()
    assert "timeout" == refused(server.url, timeout_sec=0.3).kind
    assert time.monotonic() - began < 3
    assert 1 == len(server.asked)


def test_answer_that_drips_is_given_up(server: LlmEndpoint) -> None:
    server.says = lambda _: Reply(body=b" " * 1_000, drip_sec=0.1)
    began = time.monotonic()
    assert "timeout" == refused(server.url, timeout_sec=0.5).kind
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
        b'{"choices": {"0": 1}}',
    ],
)
def test_what_is_no_completion_is_no_answer(server: LlmEndpoint, body: bytes) -> None:
    server.says = lambda _: Reply(body=body)
    assert "no_completion" == refused(server.url).kind


def test_endless_answer_is_cut_off(server: LlmEndpoint) -> None:
    server.says = lambda _: Reply(body=b" " * (MAX_ANSWER_BYTES + 1))
    assert "too_large" == refused(server.url).kind


def test_nobody_there() -> None:
    (port,) = free_ports(1)
    error = refused(f"http://127.0.0.1:{port}/v1")
    assert ("unreachable", True) == (error.kind, error.retryable)


def test_certificate_file_that_is_none_is_told_at_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="REDLINE_JUDGE_CA"):
        ChatEndpoint("https://x/v1", key=None, ca_file=tmp_path / "ca.pem", timeout_sec=1)
