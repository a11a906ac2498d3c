"""What can go wrong with a model. While judging nothing is raised: a detector's failure is part of its opinion."""

from rules.errors import RedlineError


class ModelError(RedlineError):
    """A model folder is missing, altered, or does not fit the catalogue."""
