"""The root of every error that redline raises on purpose, and those that a rule author meets."""

from collections.abc import Sequence
from dataclasses import dataclass


class RedlineError(Exception):
    """Base class: says what is wrong, where, and what to do about it."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a pack file, told to its author."""

    file: str
    line: int
    what: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f"\n    hint: {self.hint}" if self.hint else ""
        return f"{self.file}:{self.line}: {self.what}{hint}"


class PackError(RedlineError):
    """A pack cannot be used. `problems` has every one of them, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'s' if count > 1 else ''} in the rule pack:\n"
            + "\n".join(map(str, self.problems))
        )


class RuleTimeout(RedlineError):
    """Matching one message took longer than the limit."""
