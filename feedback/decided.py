"""What a person decided about a message: free of the desk's store, so that training and measuring need no desk."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from detectors.domain import Message, Turn, Verdict

Action = Literal["confirm", "dismiss", "relabel"]


@dataclass(frozen=True, slots=True)
class DecidedCase:
    """
    A message with the labels a person gave it, for the dataset and for agreement figures.

    `message`, `before` and `verdict` are what the reviewer was shown.
    """

    case_id: str
    message: Message
    before: tuple[Message, ...]
    verdict: Verdict
    action: Action
    labels: frozenset[str]
    reviewer: str
    decided_at: datetime
    note: str

    @property
    def turn(self) -> Turn:
        """The message with its context, as a detector takes it."""
        return Turn(message=self.message, before=self.before)
