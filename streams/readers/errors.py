"""What makes a whole source unreadable, as opposed to one record of it."""

from rules.errors import RedlineError


class UnreadableSource(RedlineError):
    """Nothing can be read from this source: it is missing, of another format, or has no usable header."""

    def __init__(self, source: str, detail: str) -> None:
        self.source = source
        self.detail = detail
        super().__init__(f"{source}: {detail}")


class MappingError(UnreadableSource):
    """A mapping file is no valid mapping."""
