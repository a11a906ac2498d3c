"""Who may ask the scoring service, what an open one says of itself, and callers who hang up."""

import socket

import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry

from deploy.bearer import warn_if_open
from deploy.dev.process import wait_until
from deploy.score_server import serve_beside
from deploy.scoring import Scorer, create_scoring_app
from streams.codec import encode_message
from tests.deploy.test_scoring import EchoJudge
from tests.stream_samples import message

TOKEN = "secret-token-of-ours"
QUESTION = orjson.dumps({"message": orjson.loads(encode_message(message(1)))})


def client() -> httpx.AsyncClient:
    app = create_scoring_app(Scorer(EchoJudge()), CollectorRegistry(), token=TOKEN)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://score")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Bearer wrong-token-wrong-token",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer 密",
    ],
)
async def test_who_does_not_bear_the_token_is_refused_before_anything_is_read(header: str | None) -> None:
    headers = {} if header is None else {b"Authorization": header.encode()}
    async with client() as ask:
        answer = await ask.post("/v1/score", content=b"not json", headers=headers)
        counted = (await ask.get("/metrics")).text
        assert 200 == (await ask.get("/health")).status_code
    assert (401, "not_signed_in") == (answer.status_code, answer.json()["reason"])
    assert "Bearer" == answer.headers["WWW-Authenticate"]
    assert TOKEN not in answer.text
    assert 'redline_score_requests_total{status="401"} 1.0' in counted


async def test_who_bears_the_token_is_answered() -> None:
    async with client() as ask:
        answer = await ask.post("/v1/score", content=QUESTION, headers={"Authorization": f"bearer {TOKEN}"})
    assert 200 == answer.status_code


@pytest.mark.parametrize(
    ("host", "token", "warned"),
    [
        ("0.0.0.0", None, True),
        ("::", None, True),
        ("score.bank.internal", None, True),
        ("0.0.0.0", TOKEN, False),
        ("127.0.0.1", None, False),
        ("[::1]", None, False),
        ("localhost", None, False),
    ],
)
def test_service_that_is_open_to_the_network_is_told(
    host: str, token: str | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_if_open(host, token)
    assert warned == ("REDLINE_SCORE_TOKEN" in caplog.text)


def test_caller_who_hangs_up_in_the_middle_is_counted_and_no_crash(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = serve_beside(create_scoring_app(Scorer(EchoJudge()), CollectorRegistry()), "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    wanted = 'redline_score_requests_total{status="499"} 1.0'
    assert wait_until(lambda: wanted in httpx.get(f"http://127.0.0.1:{port}/metrics").text, timeout_sec=30)
    assert "Traceback" not in caplog.text
