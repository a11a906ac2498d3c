"""What can go wrong with a model or the case memory. While judging nothing is raised: a detector's failure is part of its opinion."""

from rules.errors import RedlineError


class ModelError(RedlineError):
    """A model folder is missing, altered, or does not fit the catalogue."""


class CaseMemoryError(RedlineError):
    """The file of the case memory is missing, altered or not of its form; says what to do."""
