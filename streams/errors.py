"""What can go wrong between the wire, the pipeline and the stores."""

from rules.errors import RedlineError


class InvalidMessage(RedlineError):
    """
    A record that is no message.

    `reason` is a stable short code for counting (`bad_json`, `missing_field`, …),
    `field` the offending field's path where there is one, `line` the 1-based line
    of the file it came from.
    """

    def __init__(
        self, reason: str, detail: str, *, field: str | None = None, line: int | None = None
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.field = field
        self.line = line
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        what = f"field '{self.field}': " if self.field else ""
        return f"{where}{what}{self.detail} [{self.reason}]"


class StoreError(RedlineError):
    """A store refused or could not be reached. `retryable` tells whether waiting may help."""

    def __init__(self, detail: str, *, retryable: bool) -> None:
        self.retryable = retryable
        super().__init__(detail)


class ContextUnwritable(RedlineError):
    """Earlier messages cannot be put on disk, so later ones would be judged without them."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"conversations that wait for their next message cannot be put into the temporary folder: {detail}. "
            "Make room there, or name another folder in TMPDIR"
        )


class BrokerError(RedlineError):
    """The broker refused or could not be reached. `retryable` tells whether waiting may help."""

    def __init__(self, detail: str, *, retryable: bool) -> None:
        self.retryable = retryable
        super().__init__(detail)


class EndpointError(RedlineError):
    """
    The endpoint of the LLM judge gave no answer. `retryable` tells whether asking again at once may help.

    `kind` is a stable short code for counting (`timeout`, `unreachable`, `http_401`, …). Neither it nor
    the words quote a transcript, an answer or a key.
    """

    def __init__(self, detail: str, *, kind: str, retryable: bool) -> None:
        self.kind = kind
        self.retryable = retryable
        super().__init__(detail)


class TooManyDeadLetters(RedlineError):
    """More records failed than the limit allows: something is wrong, and a person should look."""

    def __init__(self, detail: str, *, failed: int, seen: int) -> None:
        self.failed = failed
        self.seen = seen
        super().__init__(detail)
