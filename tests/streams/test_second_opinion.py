"""Asking the LLM judge: at a bounded rate, in peace with an endpoint that fails, and never in the way of a verdict."""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deploy.dev.process import wait_until
from detectors.domain import Outcome, Turn, Verdict
from detectors.judge import LlmJudge, Request
from rules.loader import load_pack
from streams.asking import AskingJudge, BackgroundOpinions, WatchedJudge
from streams.errors import BrokerError, EndpointError
from streams.identity import content_hash
from streams.second_opinion import BreakerPolicy, OpinionResult, SecondOpinion
from tests.stream_samples import message, verdict

CATALOGUE = load_pack().catalogue
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "客户的秘密"
FLAG = json.dumps({"findings": [{"label": "implied_guarantee", "quotes": ["亏不了"], "reason": "暗示"}]})
LIE = json.dumps({"findings": [{"label": "implied_guarantee", "quotes": ["别的话"], "reason": "暗示"}]})
NOTHING = '{"findings": []}'
PATIENCE_SEC = 20.0


class Time:
    """Passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


class Model:
    """An endpoint in memory: says what it is told to, or fails so."""

    def __init__(self, says: str | Exception = NOTHING) -> None:
        self.says = says
        self.requests: list[Request] = []
        self.goes_on = threading.Event()
        self.goes_on.set()

    def complete(self, request: Request) -> str:
        self.requests.append(request)
        assert self.goes_on.wait(PATIENCE_SEC)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def opinion(
    model: Model,
    tally: list[OpinionResult],
    *,
    time_sec: Callable[[], float] = time.monotonic,
    per_minute: int = 60_000,
    policy: BreakerPolicy | None = None,
) -> SecondOpinion:
    judge = LlmJudge(CATALOGUE, model="m", mask=lambda text: text)
    return SecondOpinion(
        lambda: judge,
        model,
        per_minute=per_minute,
        clock=lambda: NOW,
        tally=tally.append,
        policy=policy,
        time_sec=time_sec,
    )


def undecided(number: int = 1) -> tuple[Turn, Verdict]:
    said = message(number, text=f"亏不了{SECRET}")
    return Turn(said), verdict(said.message_id, outcome=Outcome.UNDECIDED, queue_reasons=("undecided",))


class Undecided:
    """A cascade that is never sure."""

    def judge(self, turns: object) -> list[Verdict]:
        assert isinstance(turns, list)
        return [verdict(turn.message.message_id, outcome=Outcome.UNDECIDED) for turn in turns]


UNREACHABLE = EndpointError("judge:1 cannot be reached", kind="unreachable", retryable=True)


def test_flag_is_a_later_verdict_on_the_same_words() -> None:
    tally: list[OpinionResult] = []
    turn, before = undecided()
    result, amended = opinion(Model(FLAG), tally).ask(turn, before)
    assert amended is not None
    assert ("flagged", Outcome.FLAGGED, NOW) == (result, amended.outcome, amended.detected_at)
    assert content_hash(turn.message) == amended.content_hash
    assert amended.amended
    assert ["flagged"] == tally


@pytest.mark.parametrize(
    ("says", "result"),
    [
        (NOTHING, "not_flagged"),
        (LIE, "unfounded"),
        ("我拒绝", "nonsense"),
        (UNREACHABLE, "failed"),
        (RuntimeError(SECRET), "failed"),
    ],
)
def test_anything_else_leaves_the_verdict(
    says: str | Exception, result: OpinionResult, caplog: pytest.LogCaptureFixture
) -> None:
    tally: list[OpinionResult] = []
    assert (result, None) == opinion(Model(says), tally).ask(*undecided())
    assert [result] == tally
    assert SECRET not in caplog.text


def test_failure_is_told_once_for_each_kind_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    model = Model(UNREACHABLE)
    asking = opinion(model, [])
    for says in (UNREACHABLE, UNREACHABLE, "unsinn", "unsinn", NOTHING, NOTHING):
        model.says = says
        asking.ask(*undecided())
    assert 3 == len(caplog.records), caplog.text
    assert "cannot be reached" in caplog.records[0].message
    assert "agreed form" in caplog.records[1].message
    assert "answers again" in caplog.records[2].message


def test_questions_keep_their_distance() -> None:
    passing = Time()
    asking = opinion(Model(), [], time_sec=passing, per_minute=30)
    assert 0.0 == asking.wait_sec()
    asking.ask(*undecided())
    assert 2.0 == asking.wait_sec()
    passing.wait(1.5)
    assert 0.5 == asking.wait_sec()


def test_endpoint_that_fails_is_let_alone_for_longer_and_longer() -> None:
    passing, model = Time(), Model(UNREACHABLE)
    policy = BreakerPolicy(failures=2, first_rest_sec=10, longest_rest_sec=35)
    asking = opinion(model, [], time_sec=passing, policy=policy)
    rests = []
    for _ in range(6):
        asking.ask(*undecided())
        rests.append(asking.rest_sec())
        passing.wait(asking.wait_sec())
    assert [0, 10, 20, 35, 35, 35] == rests
    model.says = NOTHING
    asking.ask(*undecided())
    model.says = UNREACHABLE
    asking.ask(*undecided())
    assert 0 == asking.rest_sec()


def test_rest_is_bounded_however_long_the_endpoint_is_away() -> None:
    assert 300 == BreakerPolicy().rest_sec(10**6)


def test_file_is_judged_with_the_opinion() -> None:
    passing, tally = Time(), list[OpinionResult]()
    asking = opinion(Model(FLAG), tally, time_sec=passing, per_minute=60)
    turns = [undecided(number)[0] for number in range(3)]
    verdicts = AskingJudge(Undecided(), asking, wait=passing.wait).judge(turns)
    assert [Outcome.FLAGGED] * 3 == [each.outcome for each in verdicts]
    assert 102.0 == passing.now


def test_file_does_not_wait_for_an_endpoint_that_fails() -> None:
    passing, tally, model = Time(), list[OpinionResult](), Model(UNREACHABLE)
    asking = opinion(model, tally, time_sec=passing, policy=BreakerPolicy(failures=1))
    turns = [undecided(number)[0] for number in range(4)]
    verdicts = AskingJudge(Undecided(), asking, wait=passing.wait).judge(turns)
    assert [Outcome.UNDECIDED] * 4 == [each.outcome for each in verdicts]
    assert (["failed", "dropped", "dropped", "dropped"], 1) == (tally, len(model.requests))


def test_verdict_goes_out_at_once_and_the_opinion_follows() -> None:
    model, tally, emitted = Model(FLAG), list[OpinionResult](), list[Verdict]()
    model.goes_on.clear()
    turn, _ = undecided()
    with BackgroundOpinions(opinion(model, tally), emitted.append, queue_size=9) as opinions:
        assert [Outcome.UNDECIDED] == [
            each.outcome for each in WatchedJudge(Undecided(), opinions).judge([turn])
        ]
        assert [] == emitted
        model.goes_on.set()
        assert wait_until(lambda: bool(emitted), timeout_sec=PATIENCE_SEC)
    assert content_hash(turn.message) == emitted[0].content_hash
    assert emitted[0].flagged


@pytest.mark.parametrize("outcome", [Outcome.CLEAN, Outcome.FLAGGED])
def test_what_is_decided_is_not_asked_about(outcome: Outcome) -> None:
    model = Model(FLAG)
    turn, before = undecided()
    with BackgroundOpinions(opinion(model, []), lambda _: None, queue_size=9) as opinions:
        opinions.offer(turn, replace(before, outcome=outcome))
        opinions.finish()
    assert [] == model.requests


def test_full_queue_drops_the_oldest_and_counts_it() -> None:
    model, tally = Model(NOTHING), list[OpinionResult]()
    model.goes_on.clear()
    with BackgroundOpinions(opinion(model, tally), lambda _: None, queue_size=2) as opinions:
        opinions.offer(*undecided(0))
        assert wait_until(lambda: len(model.requests) == 1, timeout_sec=PATIENCE_SEC)
        for number in range(1, 5):
            opinions.offer(*undecided(number))
        assert ["dropped", "dropped"] == tally
        model.goes_on.set()
        opinions.finish()
    assert 3 == len(model.requests)
    assert ["dropped"] * 2 + ["not_flagged"] * 3 == tally


def test_what_is_delivered_twice_is_asked_about_once() -> None:
    model, tally = Model(NOTHING), list[OpinionResult]()
    with BackgroundOpinions(opinion(model, tally), lambda _: None, queue_size=9) as opinions:
        for _ in range(3):
            opinions.offer(*undecided())
            opinions.finish()
        edited, before = undecided()
        opinions.offer(replace(edited, message=replace(edited.message, text="换一句话")), before)
        opinions.finish()
    assert ["not_flagged", "not_flagged"] == tally


def test_what_had_no_answer_may_be_asked_again() -> None:
    model, tally = Model(UNREACHABLE), list[OpinionResult]()
    with BackgroundOpinions(opinion(model, tally), lambda _: None, queue_size=9) as opinions:
        opinions.offer(*undecided())
        opinions.finish()
        model.says = NOTHING
        opinions.offer(*undecided())
        opinions.finish()
    assert ["failed", "not_flagged"] == tally


def test_verdict_that_does_not_get_away_is_counted_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tally = list[OpinionResult]()

    def refuse(_: Verdict) -> None:
        raise BrokerError("the broker is away", retryable=True)

    with BackgroundOpinions(opinion(Model(FLAG), tally), refuse, queue_size=9) as opinions:
        for number in range(2):
            opinions.offer(*undecided(number))
        opinions.finish()
    assert ["flagged", "unsent"] * 2 == tally
    assert 1 == len([record for record in caplog.records if record.levelno >= logging.ERROR])


def test_end_does_not_wait_for_what_is_not_asked_yet() -> None:
    model, tally = Model(NOTHING), list[OpinionResult]()
    asking = opinion(model, tally, per_minute=1)
    began = time.monotonic()
    with BackgroundOpinions(asking, lambda _: None, queue_size=9) as opinions:
        for number in range(4):
            opinions.offer(*undecided(number))
        assert wait_until(lambda: "not_flagged" in tally, timeout_sec=PATIENCE_SEC)
    assert ["dropped"] * 3 == [result for result in tally if result == "dropped"]
    assert time.monotonic() - began < PATIENCE_SEC


def test_end_does_not_wait_for_a_question_that_hangs() -> None:
    model = Model(NOTHING)
    model.goes_on.clear()
    began = time.monotonic()
    opinions = BackgroundOpinions(opinion(model, []), lambda _: None, queue_size=9, drain_sec=0.1)
    with opinions:
        opinions.offer(*undecided())
        assert wait_until(lambda: bool(model.requests), timeout_sec=PATIENCE_SEC)
    assert time.monotonic() - began < PATIENCE_SEC
    model.goes_on.set()


def test_finish_does_not_wait_for_an_endpoint_that_fails() -> None:
    tally = list[OpinionResult]()
    asking = opinion(Model(UNREACHABLE), tally, policy=BreakerPolicy(failures=1, first_rest_sec=60))
    with BackgroundOpinions(asking, lambda _: None, queue_size=9) as opinions:
        for number in range(3):
            opinions.offer(*undecided(number))
        opinions.finish()
    assert ["failed", "dropped", "dropped"] == tally


def test_judge_follows_the_catalogue() -> None:
    """A pack is taken up while the process runs: the next question is by the new prompt."""
    model = Model(FLAG)
    versions = iter(["m1", "m2"])
    asking = SecondOpinion(
        lambda: LlmJudge(CATALOGUE, model=next(versions), mask=lambda text: text),
        model,
        per_minute=600,
        clock=lambda: NOW + timedelta(seconds=1),
        tally=lambda _: None,
    )
    found = [asking.ask(*undecided()).amended for _ in range(2)]
    assert ["m1", "m2"] == [each.findings[0].sources[0].id for each in found if each is not None]
