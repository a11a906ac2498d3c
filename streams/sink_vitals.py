"""
Is a sink well, and how far is the store behind the broker? Answered from outside the sink's loop.

A sink waits out an outage of the store and of the broker, so that it lives says little: health looks at
how long either has been away, at what waits, and at when something was last written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from streams.vitals import HealthPolicy, age_sec

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class SinkPulse:
    """One look from within: what is on the broker but not in the store, by place, and when that was heard."""

    at: datetime
    lag: Mapping[Place, int] = field(default_factory=dict)
    heard_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SinkHealth:
    """What /health of a sink answers. Well when there is no problem."""

    problems: tuple[str, ...]
    partitions: int
    lag: int
    last_write_age_sec: float | None
    store_away_sec: float | None
    broker_heard_age_sec: float | None

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class SinkVitals:
    """Written by the sink's loop, read by other threads; every write replaces one value."""

    def __init__(self, policy: HealthPolicy, clock: Callable[[], datetime]) -> None:
        self._policy = policy
        self._clock = clock
        self._started = clock()
        self._pulse: SinkPulse | None = None
        self._wrote_at: datetime | None = None
        self._store_away_since: datetime | None = None

    def feel(self, pulse: SinkPulse) -> None:
        """The loop looked at itself."""
        self._pulse = pulse

    def wrote(self) -> None:
        """A batch is in the store and its offsets moved."""
        self._wrote_at = self._clock()

    def store_away(self, since: datetime | None) -> None:
        """The store refuses since then; None: it is back."""
        self._store_away_since = since

    def health(self) -> SinkHealth:
        """What is wrong now."""
        now, pulse = self._clock(), self._pulse
        wrote_at, away_since = self._wrote_at, self._store_away_since
        return SinkHealth(
            tuple(self._problems(now, pulse, wrote_at, away_since)),
            len(pulse.lag) if pulse else 0,
            sum(pulse.lag.values()) if pulse else 0,
            age_sec(now, wrote_at),
            age_sec(now, away_since),
            age_sec(now, pulse.heard_at if pulse else None),
        )

    def _problems(
        self,
        now: datetime,
        pulse: SinkPulse | None,
        wrote_at: datetime | None,
        away_since: datetime | None,
    ) -> list[str]:
        silence = self._policy.silence
        if pulse is None:
            late = now - self._started > self._policy.start
            return ["has not begun to consume"] if late else []
        if now - pulse.at > silence:
            return ["its loop stands still"]
        problems = []
        if away_since is not None and now - away_since > silence:
            problems.append("the store is away: nothing is written, the lag grows")
        if now - (pulse.heard_at or self._started) > silence:
            problems.append("the broker was not heard")
        idle_since = wrote_at or self._started
        if not problems and away_since is None and any(pulse.lag.values()) and now - idle_since > silence:
            problems.append("records wait, but none was written")
        return problems
