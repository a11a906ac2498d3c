"""Tells the operator which detectors fail while judging: once in the log, and counted for the metrics."""

from collections.abc import Callable, Mapping
from time import monotonic

import structlog

from deploy.missing import NOT_LOADED

log = structlog.get_logger(__name__)

# A first stage settles most messages: that one batch went well does not show that the encoder works again.
WELL_AFTER_SEC = 60.0

Count = Callable[[str, str, int], None]


def count_nothing(detector: str, kind: str, verdicts: int) -> None:
    """For a process without metrics."""


class FailureLog:
    """
    What a cascade tells of its detectors, as errors in the log.

    Each kind of failure of a detector is told once, until the detector has judged for
    `WELL_AFTER_SEC` without any; then that is told too. A detector that was never loaded is
    counted only: why, was told when it should have been. `count` gets every failure: detector,
    kind, number of verdicts. `time_sec` never goes back.
    """

    def __init__(self, count: Count = count_nothing, *, time_sec: Callable[[], float] = monotonic) -> None:
        self._count = count
        self._time_sec = time_sec
        self._told: dict[str, set[str]] = {}
        self._last_failure: dict[str, float] = {}

    def heard(self, detector: str, judged: int, failed: Mapping[str, int]) -> None:
        """See `detectors.base.FailureWatch`."""
        for kind, verdicts in failed.items():
            self._count(detector, kind, verdicts)
        now = self._time_sec()
        new = failed.keys() - {NOT_LOADED} - self._told.get(detector, set())
        for kind in sorted(new):
            log.error(
                "detector_failed",
                detector=detector,
                error=kind,
                effect="verdicts are degraded; what no other detector flags is undecided",
            )
        if failed:
            self._last_failure[detector] = now
        if new:
            self._told.setdefault(detector, set()).update(new)
        elif judged and detector in self._told and now - self._last_failure[detector] >= WELL_AFTER_SEC:
            del self._told[detector]
            log.info("detector_works_again", detector=detector)
