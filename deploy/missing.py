"""What stands in for a detector that could not be loaded."""

from collections.abc import Sequence

from detectors.base import Opinion
from detectors.domain import Turn

NOT_LOADED = "not_loaded"


class MissingDetector:
    """Stands in for a detector that could not be loaded: every turn is told so, and goes to a person."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.version = "missing"
        self.why = why
        self._opinion = Opinion(failure=NOT_LOADED)

    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        """The failure, for each turn."""
        return [self._opinion] * len(turns)
