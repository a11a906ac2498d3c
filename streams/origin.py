"""Where a record lies on the broker."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where on the broker a record lies. As text `topic:partition:offset`, a name for commands and logs."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str, *, topic: str) -> "Origin":
        """From `topic:partition:offset`, or `partition:offset` of `topic`. Raises ValueError."""
        parts = text.rsplit(":", 2)
        if len(parts) == 2:
            parts = [topic, *parts]
        if len(parts) != 3 or not parts[0] or not (parts[1].isdecimal() and parts[2].isdecimal()):
            raise ValueError(f"{text!r} is no record: write TOPIC:PARTITION:OFFSET or PARTITION:OFFSET")
        return cls(parts[0], int(parts[1]), int(parts[2]))
