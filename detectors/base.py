"""What the cascade asks of a detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from detectors.domain import Finding, Turn


@dataclass(frozen=True, slots=True)
class Opinion:
    """
    What one detector says of one turn.

    `findings` are violations it stands for. `uncertain` are findings in its
    abstain band: a person should look. `shadow` are findings on trial: recorded with
    the verdict, they change nothing else. `failure` says why it could not judge: the type of
    an error or a short code, nothing of an error's text, which may quote what was said.
    With `denies` it takes any violation for next to impossible: what nobody but a rule finds
    there is for a person to decide.
    """

    findings: tuple[Finding, ...] = ()
    uncertain: tuple[Finding, ...] = ()
    shadow: tuple[Finding, ...] = ()
    failure: str | None = None
    dismissed_like: str | None = None
    denies: bool = False


class Detector(Protocol):
    """
    Judges turns, in batches because the classifier is faster that way.

    Returns one opinion per turn, in order. Does not raise for a turn it cannot
    judge: that turn's opinion carries `failure`. Reads no clock and no environment.
    """

    @property
    def name(self) -> str:
        """Short stable name, as in `versions` and metrics."""

    @property
    def version(self) -> str:
        """Changes whenever the same turn could be judged differently."""

    def detect(self, turns: Sequence[Turn]) -> Sequence[Opinion]:
        """Judge each turn."""


class FailureWatch(Protocol):
    """Is told which detectors of a cascade fail, so that somebody hears of it."""

    def heard(self, detector: str, judged: int, failed: Mapping[str, int]) -> None:
        """
        After each batch, for each detector: how many of the firm's messages it could judge, and how many not.

        `failed` counts the latter by `Opinion.failure`. Called by the thread that judges; must not raise.
        """
