"""What can be wrong with labelled data."""

from rules.errors import RedlineError


class CorpusError(RedlineError):
    """A corpus file or a dataset cannot be used; says which file and line."""
