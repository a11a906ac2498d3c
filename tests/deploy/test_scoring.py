"""Asking before sending: the same verdict as on the stream, nothing kept, and no answer that only looks like one."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry

from deploy.listening import AddressTaken
from deploy.score_server import serve_beside
from deploy.scoring import MAX_BEFORE, MAX_BODY_BYTES, MAX_WAITING, OneAtATime, Scorer, create_scoring_app
from deploy.settings import Settings
from deploy.wiring import build_cascade, build_pipeline
from detectors.domain import Message, Speaker, Turn, Verdict
from rules.loader import load_pack
from streams.codec import decode_verdict, encode_message
from streams.context import ConversationContext, MemoryContext
from streams.pipeline import Judge
from tests.stream_samples import message, verdict

ASKED = replace(message(1, text="能保证6%吗"), speaker=Speaker.CUSTOMER)
ANSWER = replace(message(2, text="没问题"), speaker=Speaker.ADVISOR)


class EchoJudge:
    """Says how many messages stood before; breaks on `boom`."""

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        if any(turn.message.text == "boom" for turn in turns):
            raise RuntimeError("the customer's words: boom")
        return [
            verdict(turn.message.message_id, queue_reasons=(str(len(turn.before)),), conversation="c1")
            for turn in turns
        ]


def client(judge: Judge, context: ConversationContext | None = None) -> httpx.AsyncClient:
    app = create_scoring_app(Scorer(judge, context), CollectorRegistry())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://score")


def asking(about: Message, before: Sequence[Message] | None = None) -> bytes:
    parts = [b'{"message":', encode_message(about)]
    if before is not None:
        parts += [b',"before":[', b",".join(map(encode_message, before)), b"]"]
    return b"".join([*parts, b"}"])


@pytest.fixture(scope="module")
def rules() -> Judge:
    return build_cascade(Settings(use_model=False), pack=load_pack())


async def test_verdict_is_that_of_the_stream(rules: Judge) -> None:
    expected = build_pipeline(rules).process([ASKED, ANSWER])[1].verdict
    async with client(rules) as ask:
        answer = await ask.post("/v1/score", content=asking(ANSWER, [ASKED]))
        alone = await ask.post("/v1/score", content=asking(ANSWER))
    assert (200, "given") == (answer.status_code, answer.headers["Redline-Context"])
    found = decode_verdict(answer.content)
    assert replace(expected, detected_at=found.detected_at, latency_ms=found.latency_ms) == found
    assert found.flagged
    assert found.content_hash
    assert "none" == alone.headers["Redline-Context"]
    assert not decode_verdict(alone.content).flagged


async def test_worker_knows_the_conversation_and_keeps_nothing_of_the_question() -> None:
    context = MemoryContext()
    context.turn(ASKED)
    async with client(EchoJudge(), context) as ask:
        for _ in range(2):
            answer = await ask.post("/v1/score", content=asking(ANSWER))
            assert ("worker", ("1",)) == (
                answer.headers["Redline-Context"],
                decode_verdict(answer.content).queue_reasons,
            )
        other = await ask.post("/v1/score", content=asking(message(2, "c1"), []))
    assert decode_verdict(other.content).queue_reasons == ("0",)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"not json", 422, "bad_json"),
        (b"{}", 422, "wrong_type"),
        (asking(ANSWER).replace(b'"advisor"', b'"robot"'), 422, "unknown_speaker"),
        (asking(ANSWER, [message(1, "c2")]), 422, "bad_value"),
        (asking(ANSWER, [ASKED] * (MAX_BEFORE + 1)), 422, "too_large"),
        (b"x" * (MAX_BODY_BYTES + 1), 413, "too_large"),
        (asking(replace(ANSWER, text="boom")), 500, "pipeline_error"),
    ],
    ids=["json", "empty", "speaker", "other conversation", "many", "large", "judge breaks"],
)
async def test_what_is_no_verdict_does_not_look_like_one(body: bytes, status: int, reason: str) -> None:
    async with client(EchoJudge()) as ask:
        answer = await ask.post("/v1/score", content=body)
        counted = (await ask.get("/metrics")).text
    assert (status, reason) == (answer.status_code, answer.json()["reason"])
    assert "customer's words" not in answer.text
    assert f'redline_score_requests_total{{status="{status}"}} 1.0' in counted


async def test_too_many_at_once_are_sent_away() -> None:
    import asyncio

    free = threading.Event()

    class Slow(EchoJudge):
        def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
            free.wait()
            return super().judge(turns)

    async with client(OneAtATime(Slow())) as ask:
        waiting = [
            asyncio.create_task(ask.post("/v1/score", content=asking(ANSWER))) for _ in range(MAX_WAITING)
        ]
        while (await ask.get("/health")).json()["waiting"] < MAX_WAITING:
            await asyncio.sleep(0.01)
        refused = await ask.post("/v1/score", content=asking(ANSWER))
        free.set()
        answers = await asyncio.gather(*waiting)
    assert (503, "1") == (refused.status_code, refused.headers["Retry-After"])
    assert {200} == {answer.status_code for answer in answers}


def test_served_from_a_thread_and_taken_address_is_told() -> None:
    app = create_scoring_app(Scorer(EchoJudge()), CollectorRegistry())
    port = serve_beside(app, "127.0.0.1", 0)
    answer: Any = httpx.post(f"http://127.0.0.1:{port}/v1/score", content=asking(ANSWER), timeout=30)
    assert orjson.loads(answer.content)["message_id"] == ANSWER.message_id
    with pytest.raises(AddressTaken, match="cannot serve on"):
        serve_beside(app, "127.0.0.1", port)
