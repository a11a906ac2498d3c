"""
Is a worker well? Answered from outside its event loop, so that a worker that stands still can be told.

A process that lives is not a worker that works: its consumer may be dead, or stuck on a record. So
health looks at how long ago the broker was heard, how much waits, and when the last record was done.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from detectors.domain import Versions


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How long a worker may be silent: to start (the context is read back), and later."""

    start: timedelta = timedelta(minutes=3)
    silence: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Pulse:
    """
    One look from within at the partitions: how much waits in each, and when the broker was last heard.

    Those in `without_conversations` wait for conversations that this worker was not given.
    """

    at: datetime
    lag: Mapping[int, int] = field(default_factory=dict)
    heard_at: datetime | None = None
    without_conversations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """
    What /health answers. Well when there is no problem.

    `judged_by` names the rules, the model and the cases that gave the last verdict; None before the first.
    `without_conversations` are the partitions whose messages wait for conversations that this worker was
    not given: until the next rebalance after a worker died, and a problem only where it lasts.
    `deleted_unjudged` is how many offsets the broker deleted before this worker came to them since its
    start. No problem of the worker: a restart brings nothing back.
    """

    problems: tuple[str, ...]
    partitions: int
    lag: int
    last_poll_age_sec: float | None
    last_record_age_sec: float | None
    judged_by: Versions | None = None
    without_conversations: tuple[int, ...] = ()
    deleted_unjudged: int = 0

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Vitals:
    """Written by the worker's loop, read by other threads; every write replaces one value."""

    def __init__(self, policy: HealthPolicy, clock: Callable[[], datetime]) -> None:
        self._policy = policy
        self._clock = clock
        self._started = clock()
        self._pulse: Pulse | None = None
        self._done_at: datetime | None = None
        self._judged_by: Versions | None = None
        self._deleted = 0

    def feel(self, pulse: Pulse) -> None:
        """The loop looked at itself."""
        self._pulse = pulse

    def done(self, judged_by: Versions | None = None) -> None:
        """A batch is delivered and acknowledged; its verdicts, if any, are by these versions."""
        self._judged_by = judged_by or self._judged_by
        self._done_at = self._clock()

    def deleted(self, offsets: int) -> None:
        """The broker deleted so many offsets before anybody judged them."""
        self._deleted += offsets

    def health(self) -> Health:
        """What is wrong now."""
        now, pulse, done_at = self._clock(), self._pulse, self._done_at
        lag = sum(pulse.lag.values()) if pulse else 0
        return Health(
            tuple(self._problems(now, pulse, done_at, lag)),
            len(pulse.lag) if pulse else 0,
            lag,
            age_sec(now, pulse.heard_at if pulse else None),
            age_sec(now, done_at),
            self._judged_by,
            pulse.without_conversations if pulse else (),
            self._deleted,
        )

    def _problems(self, now: datetime, pulse: Pulse | None, done_at: datetime | None, lag: int) -> list[str]:
        silence = self._policy.silence
        if pulse is None:
            late = now - self._started > self._policy.start
            return ["has not begun to consume"] if late else []
        if now - pulse.at > silence:
            return ["its event loop stands still"]
        worked = done_at or self._started
        if now - worked <= silence or not pulse.lag:
            return []  # works, or has no partition: more workers than partitions
        heard = pulse.heard_at or self._started
        problems = [] if now - heard <= silence else ["the broker was not heard: the consumer is dead"]
        if lag and now - self._started > self._policy.start:
            problems.append("records wait, but none was done" + _why(pulse.without_conversations))
        return problems


def _why(without_conversations: tuple[int, ...]) -> str:
    if not without_conversations:
        return ""
    return f": the conversations of partitions {', '.join(map(str, without_conversations))} are not here"


def age_sec(now: datetime, at: datetime | None) -> float | None:
    """How long ago, in seconds to the millisecond."""
    return None if at is None else round((now - at).total_seconds(), 3)
