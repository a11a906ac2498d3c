"""Two ways to have the LLM judge look at what a judge leaves undecided: at once, or later beside it."""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from detectors.domain import Outcome, Turn, Verdict
from rules.errors import RedlineError
from streams.identity import MessageKey, message_key
from streams.pipeline import Judge
from streams.second_opinion import NO_ANSWER, SecondOpinion

log = logging.getLogger(__name__)

# A question under way may end; what then still waits is dropped.
DRAIN_SEC = 5.0
REMEMBERED = 10_000

Emit = Callable[[Verdict], None]


class AskingJudge:
    """
    A judge that asks at once, for files: its verdicts are those with the opinion.

    `wait` sleeps. While the endpoint is let alone nothing is asked, and nothing waits for it.
    """

    def __init__(self, judge: Judge, opinion: SecondOpinion, *, wait: Callable[[float], object]) -> None:
        self._judge = judge
        self._opinion = opinion
        self._wait = wait

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        """See `Judge`."""
        return [
            self._ask(turn, verdict) for turn, verdict in zip(turns, self._judge.judge(turns), strict=True)
        ]

    def _ask(self, turn: Turn, verdict: Verdict) -> Verdict:
        if verdict.outcome is not Outcome.UNDECIDED:
            return verdict
        if self._opinion.rest_sec():
            self._opinion.tally("dropped")
            return verdict
        self._wait(self._opinion.wait_sec())
        return self._opinion.ask(turn, verdict).amended or verdict


class WatchedJudge:
    """A judge whose undecided turns are offered to the LLM judge; its own verdicts are as they are."""

    def __init__(self, judge: Judge, opinions: "BackgroundOpinions") -> None:
        self._judge = judge
        self._opinions = opinions

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        """See `Judge`."""
        verdicts = self._judge.judge(turns)
        for turn, verdict in zip(turns, verdicts, strict=False):
            self._opinions.offer(turn, verdict)
        return verdicts


class BackgroundOpinions:
    """
    A thread that asks about what is offered, and hands every amended verdict to `emit`.

    The queue is bounded: when it is full, the oldest question is dropped. What was lately answered is not
    asked again, so a record that is delivered twice costs one question. A context manager; at its end
    the question under way has `drain_sec` to finish, and what still waits is dropped.
    """

    def __init__(
        self, opinion: SecondOpinion, emit: Emit, *, queue_size: int, drain_sec: float = DRAIN_SEC
    ) -> None:
        self._opinion = opinion
        self._emit = emit
        self._queue_size = queue_size
        self._drain_sec = drain_sec
        self._queue: deque[tuple[MessageKey, Turn, Verdict]] = deque()
        self._known: OrderedDict[MessageKey, None] = OrderedDict()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._busy = False
        self._unsent = ""
        # A question that hangs must not keep the process.
        self._thread = threading.Thread(target=self._run, name="second-opinion", daemon=True)

    def offer(self, turn: Turn, verdict: Verdict) -> None:
        """Ask about this turn when there is time, if it is undecided. Returns at once."""
        if verdict.outcome is not Outcome.UNDECIDED:
            return
        key = message_key(turn.message)
        with self._changed:
            if key in self._known:
                return
            self._known[key] = None
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            if len(self._queue) >= self._queue_size:
                self._drop_oldest()
            self._queue.append((key, turn, verdict))
            self._changed.notify_all()

    def finish(self) -> None:
        """Wait until everything offered was asked, or the endpoint fails so that it is let alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._opinion.rest_sec() > 0 or not (self._queue or self._busy))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with self._changed:
            if self._queue:
                log.warning("%d undecided messages are not shown to the LLM judge any more", len(self._queue))
            while self._queue:
                self._drop_oldest()
            self._changed.notify_all()
        self._thread.join(self._drain_sec)

    def _drop_oldest(self) -> None:
        key, _, _ = self._queue.popleft()
        self._known.pop(key, None)
        self._opinion.tally("dropped")

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._stopping.is_set())
            # Questions wait in the queue, so that the oldest can be dropped.
            if self._stopping.wait(self._opinion.wait_sec()):
                return
            with self._changed:
                if not self._queue:
                    continue
                key, turn, verdict = self._queue.popleft()
                self._busy = True
            answered = self._ask(turn, verdict)
            with self._changed:
                self._busy = False
                if not answered:
                    self._known.pop(key, None)
                self._changed.notify_all()

    def _ask(self, turn: Turn, verdict: Verdict) -> bool:
        """False when it may be asked again."""
        answered = self._opinion.ask(turn, verdict)
        if answered.amended is None:
            return answered.result not in NO_ANSWER
        try:
            self._emit(answered.amended)
        except Exception as error:  # whatever a broker or store raises, the next one may get away
            self._opinion.tally("unsent")
            if type(error).__name__ != self._unsent:
                self._unsent = type(error).__name__
                # Of anything else the text may quote the chat.
                told = error if isinstance(error, RedlineError) else self._unsent
                log.error("what the LLM judge flagged could not be told, it stays undecided: %s", told)
            return False
        self._unsent = ""
        return True
