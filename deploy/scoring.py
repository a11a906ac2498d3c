"""
Scoring over HTTP, for producers that ask before they send: one message in, its verdict out.

Nothing is stored, no case opened, no context changed: asking is not sending. The messages before it are
those that the caller gives, or, inside a worker, those that the worker has of the conversation.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Literal

import anyio.to_thread
import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.bearer import bears
from detectors.domain import Message, Turn, Verdict
from streams import wire
from streams.codec import decode_message, encode_verdict
from streams.context import ConversationContext, MemoryContext
from streams.errors import InvalidMessage
from streams.metrics import LATENCY_BUCKETS_SEC
from streams.pipeline import Judge, judge_turns

MAX_BODY_BYTES = wire.MAX_RECORD_BYTES
MAX_BEFORE = 100
# More than so many at once are sent away: a caller who waits longer than its own limit has gone.
MAX_WAITING = 64
# As nginx counts callers who hung up; nobody reads this answer.
GONE = 499
CONTEXT_HEADER = "Redline-Context"

ContextSource = Literal["given", "worker", "none"]


class OneAtATime:
    """A judge that several threads may ask: the worker's loop and the requests. Models are not shared otherwise."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._lock = threading.Lock()

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        """See `Judge`."""
        with self._lock:
            return self._judge.judge(turns)


@dataclass(frozen=True, slots=True)
class Scored:
    """A verdict, and where the messages before it came from."""

    verdict: Verdict
    context: ContextSource


class Scorer:
    """Judges what was asked. `context` is a worker's; without one only what the caller gives is known."""

    def __init__(self, judge: Judge, context: ConversationContext | None = None) -> None:
        self._judge = judge
        self._context = context

    def score(self, body: bytes) -> Scored:
        """
        The verdict on the `message` of a request.

        Raises InvalidMessage; whatever else it raises is no verdict and must not look like one.
        """
        turn, source = self._turn(body)
        return Scored(judge_turns(self._judge, [turn])[0], source)

    def _turn(self, body: bytes) -> tuple[Turn, ContextSource]:
        request = wire.parse_object(body)
        message = decode_message(wire.mapping(request.get("message"), "message"))
        given = request.get("before")
        if given is not None:
            return _turn_behind(wire.sequence(given, "before"), message), "given"
        if self._context is None:
            return Turn(message, ()), "none"
        turn = self._context.peek(message)
        return turn, "worker" if turn.before else "none"


def create_scoring_app(scorer: Scorer, registry: CollectorRegistry, *, token: str | None = None) -> Starlette:
    """
    The web app: `POST /v1/score`, `GET /health`, `GET /metrics`.

    With a token, scoring asks for it (`Authorization: Bearer …`); health and metrics tell no words and do not.
    """
    waiting = 0
    answers = Counter("redline_score_requests", "Requests, by status", ["status"], registry=registry)
    seconds = Histogram(
        "redline_score_seconds", "Time to answer", buckets=LATENCY_BUCKETS_SEC, registry=registry
    )

    async def score(request: Request) -> Response:
        nonlocal waiting
        began = perf_counter()
        if token is not None and not bears(request.headers.get("Authorization", ""), token):
            response: Response = _refusal(401, "not_signed_in", "send Authorization: Bearer and the token")
            response.headers["WWW-Authenticate"] = "Bearer"
        elif waiting >= MAX_WAITING:
            response = _refusal(503, "busy", f"{waiting} requests wait: ask again in a second")
            response.headers["Retry-After"] = "1"
        else:
            waiting += 1
            try:
                response = await _answer(scorer, request)
            finally:
                waiting -= 1
        answers.labels(str(response.status_code)).inc()
        seconds.observe(perf_counter() - began)
        return response

    async def health(_: Request) -> Response:
        return JSONResponse({"waiting": waiting})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/v1/score", score, methods=["POST"]),
            Route("/health", health),
            Route("/metrics", metrics),
        ]
    )


async def _answer(scorer: Scorer, request: Request) -> Response:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return _refusal(413, "too_large", f"the request has more than {MAX_BODY_BYTES:,} bytes")
    except ClientDisconnect:
        return _refusal(GONE, "gone", "the caller hung up before the request was read")
    try:
        scored = await anyio.to_thread.run_sync(partial(scorer.score, bytes(body)))
        verdict = encode_verdict(scored.verdict)
    except InvalidMessage as error:
        return _refusal(422, error.reason, error.detail, error.field)
    except Exception as error:  # what it quotes may be a customer's words: only its type is told
        return _refusal(500, "pipeline_error", f"{type(error).__name__}: not judged, ask again or send it")
    return Response(verdict, media_type="application/json", headers={CONTEXT_HEADER: scored.context})


def _turn_behind(given: Sequence[object], message: Message) -> Turn:
    if len(given) > MAX_BEFORE:
        raise InvalidMessage("too_large", f"more than {MAX_BEFORE} messages", field="before")
    context = MemoryContext()
    for number, item in enumerate(given):
        earlier = decode_message(wire.mapping(item, f"before[{number}]"))
        if earlier.conversation_id != message.conversation_id:
            raise InvalidMessage("bad_value", "is of another conversation", field=f"before[{number}]")
        context.turn(earlier)
    return context.peek(message)


def _refusal(status: int, reason: str, detail: str, field: str | None = None) -> Response:
    said = {"reason": reason, "detail": detail, "field": field}
    return Response(orjson.dumps(said), status_code=status, media_type="application/json")
