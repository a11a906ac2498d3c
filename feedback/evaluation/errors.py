"""What stops an evaluation."""

from rules.errors import RedlineError


class EvaluationError(RedlineError):
    """A file or a set cannot be measured with; says which and what to do."""
