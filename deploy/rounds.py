"""
Is a command well that does the same thing every few seconds? Told from outside its loop.

What refuses its work ends such a command, and whoever started it starts it again. What this finds is
the one that lives and no longer gets through.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from streams.vitals import age_sec


@dataclass(frozen=True, slots=True)
class RoundsHealth:
    """What /health answers: how long ago something was done last, None before the first time, and what is wrong."""

    problems: tuple[str, ...]
    last_done_age_sec: float | None

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Rounds:
    """Written by the loop, read by other threads. `silence` is how long nothing may be done, from the start on."""

    def __init__(self, silence: timedelta, clock: Callable[[], datetime]) -> None:
        self._silence = silence
        self._clock = clock
        self._started = clock()
        self._done_at: datetime | None = None

    def done(self) -> None:
        """A round, or a part of one that may be long, is over."""
        self._done_at = self._clock()

    def health(self) -> RoundsHealth:
        """What is wrong now."""
        now, done_at = self._clock(), self._done_at
        stands = now - (done_at or self._started) > self._silence
        problems = ("it stands still: a store or the broker does not answer",) if stands else ()
        return RoundsHealth(problems, age_sec(now, done_at))
