"""What stops a training run."""

from rules.errors import RedlineError


class TrainingError(RedlineError):
    """A run cannot start or gave nothing usable; says what to do."""
