"""Pulls new cases when somebody looks, but not more often than every few seconds."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

SYNC_INTERVAL = timedelta(seconds=3)

logger = logging.getLogger(__name__)


class ThrottledSync:
    """
    Calls `pull` at most every `SYNC_INTERVAL`, one thread at a time.

    A failure does not hide the queue: `failed` stays true until a pull works again, and
    the page says so.
    """

    def __init__(self, pull: Callable[[], None] | None, clock: Callable[[], datetime]) -> None:
        self._pull = pull
        self._clock = clock
        self._lock = Lock()
        self._last: datetime | None = None
        self.failed = False

    def __call__(self) -> None:
        """Pull, unless it was done just now or another thread is at it."""
        if self._pull is None or not self._lock.acquire(blocking=False):
            return
        try:
            now = self._clock()
            if self._last is not None and timedelta(0) <= now - self._last < SYNC_INTERVAL:
                return
            self._last = now
            self._pull()
            self.failed = False
        except Exception as error:  # whatever the source raises, the queue stays usable and says so
            self.failed = True
            logger.exception("pulling new cases failed: %s", type(error).__name__)
        finally:
            self._lock.release()
