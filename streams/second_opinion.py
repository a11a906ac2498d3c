"""
Asks the LLM judge about what the cascade left undecided, off the hot path.

A verdict goes out at once; what the judge flags goes out afterwards as a second, amended verdict on the
same words, which stands above the first whatever arrives when (`Verdict.standing`). So a question may be
forgotten at any moment: it costs an opinion, never a verdict, and a person sees the undecided case anyway.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Literal, NamedTuple, Protocol

from detectors.domain import Turn, Verdict
from detectors.errors import BadAnswer
from detectors.judge import LlmJudge, Request, amend
from streams.errors import EndpointError
from streams.identity import content_hash

log = logging.getLogger(__name__)

OpinionResult = Literal[
    "flagged",  # an amended verdict follows
    "not_flagged",  # stays undecided
    "unfounded",  # accused without proof in the text: stays undecided
    "nonsense",  # no answer of the agreed form
    "failed",  # no answer
    "dropped",  # not asked: the queue was full, or the endpoint is let alone
    "unsent",  # flagged, but the amended verdict did not get away
]
NO_ANSWER: tuple[OpinionResult, ...] = ("nonsense", "failed")
Tally = Callable[[OpinionResult], None]


class Endpoint(Protocol):
    """A language model behind some wire."""

    def complete(self, request: Request) -> str:
        """The text that the model answers with. Raises EndpointError. Takes a bounded time."""


class Answered(NamedTuple):
    """What came of a question. `amended` is there when the judge flags."""

    result: OpinionResult
    amended: Verdict | None = None


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """After `failures` in a row the endpoint is let alone, each time twice as long, until one question is answered."""

    failures: int = 3
    first_rest_sec: float = 5.0
    longest_rest_sec: float = 300.0

    def rest_sec(self, failures: int) -> float:
        """For how long, after so many failures in a row."""
        over = failures - self.failures
        # The exponent is bounded: the endpoint may be away for weeks.
        return min(self.first_rest_sec * 2 ** min(over, 32), self.longest_rest_sec) if over >= 0 else 0.0


class SecondOpinion:
    """
    Asks one question at a time, at most so many a minute. For one thread.

    `judge` gives the judge of the catalogue in service. Nothing is raised: a turn on which there is no
    answer is told to `tally`, and to the log once for each kind of failure in a row.
    """

    def __init__(
        self,
        judge: Callable[[], LlmJudge],
        endpoint: Endpoint,
        *,
        per_minute: int,
        clock: Callable[[], datetime],
        tally: Tally,
        policy: BreakerPolicy | None = None,
        time_sec: Callable[[], float] = monotonic,
    ) -> None:
        self._judge = judge
        self._endpoint = endpoint
        self._gap_sec = 60.0 / per_minute
        self._clock = clock
        self.tally = tally
        self._policy = policy or BreakerPolicy()
        self._time_sec = time_sec
        self._failures = 0
        self._failing = ""
        self._next_at = self._rest_until = time_sec()

    def wait_sec(self) -> float:
        """How long until the next question may be asked."""
        return max(0.0, self._next_at - self._time_sec(), self.rest_sec())

    def rest_sec(self) -> float:
        """For how long the endpoint is still let alone after failures; 0 when it may be asked."""
        return max(0.0, self._rest_until - self._time_sec())

    def ask(self, turn: Turn, verdict: Verdict) -> Answered:
        """Ask now about an undecided turn."""
        self._next_at = self._time_sec() + self._gap_sec
        try:
            judge = self._judge()
            judged = judge.read(turn, self._endpoint.complete(judge.request(turn, verdict)))
            judged_turn = replace(verdict, content_hash=content_hash(turn.message))
            amended = amend(judged_turn, judged.findings, self._clock())
        except BadAnswer as error:
            return self._no_answer("nonsense", "nonsense", str(error))
        except EndpointError as error:
            return self._no_answer("failed", error.kind, str(error))
        except Exception as error:  # what it quotes may be a customer's words: only its type is told
            return self._no_answer("failed", type(error).__name__, f"{type(error).__name__} while asking")
        if self._failing:
            log.warning("the LLM judge answers again")
        self._failures, self._failing = 0, ""
        if amended is not None:
            return self._told(Answered("flagged", amended))
        return self._told(Answered("unfounded" if judged.unfounded else "not_flagged"))

    def _no_answer(self, result: OpinionResult, kind: str, told: str) -> Answered:
        self._failures += 1
        self._rest_until = self._time_sec() + self._policy.rest_sec(self._failures)
        if kind != self._failing:
            self._failing = kind
            log.warning("no answer from the LLM judge, undecided verdicts stay so: %s", told)
        return self._told(Answered(result))

    def _told(self, answered: Answered) -> Answered:
        self.tally(answered.result)
        return answered
