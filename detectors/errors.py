"""What can go wrong with a model or the case memory. While judging nothing is raised: a detector's failure is part of its opinion."""

from rules.errors import RedlineError


class ModelError(RedlineError):
    """A model folder is missing, altered, or does not fit the catalogue."""


class BadAnswer(RedlineError):
    """
    What the LLM judge said is no answer of the agreed form.

    Says how it is wrong and quotes nothing of it: it may hold what a customer said.
    """


class CaseMemoryError(RedlineError):
    """The file of the case memory is missing, altered or not of its form; says what to do."""
