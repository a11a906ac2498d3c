"""
What becomes of a record that could not be judged, and how many of them are too many.

A dead letter carries the original bytes, so that it can be sent again when the
cause is gone, and never the text of an exception that may quote a customer.
"""

import base64
import hashlib
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson

from streams.errors import InvalidMessage, TooManyDeadLetters

# Together, as base64 and with the key once more as the record's own, less than the topic takes.
MAX_ORIGINAL_BYTES = 1280 * 1024
# Fifty times what a conversation's id can have: a longer key is wrong whatever it ends with.
MAX_KEY_BYTES = 100 * 1024
MAX_DETAIL_CHARS = 1_000
STACK_DIGEST_CHARS = 16

TOMBSTONE = "tombstone"
PIPELINE_ERROR = "pipeline_error"
VERDICT_TOO_LARGE = "verdict_too_large"
BAD_VERDICT = "bad_verdict"
WRONG_KEY = "wrong_key"
CLOCK_SKEW = "clock_skew"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """
    One record that failed, with everything needed to find and to repeat it.

    `original` is None for a tombstone, and cut to `MAX_ORIGINAL_BYTES` for a record
    larger than that; `original_size` and `original_sha256` always speak of the whole.
    `key` is cut to `MAX_KEY_BYTES`, `detail` to `MAX_DETAIL_CHARS`, so that a letter always fits its topic.
    `stack_digest` is equal for failures at the same place in the code.
    """

    reason: str
    detail: str
    stack_digest: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    original: bytes | None
    original_size: int
    original_sha256: str
    at: datetime

    @property
    def complete(self) -> bool:
        """Whether `original` is the whole record, so that sending it again repeats it, but for a key that was cut."""
        return self.original is not None and len(self.original) == self.original_size


def dead_letter(
    error: BaseException | None,
    *,
    reason: str,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    original: bytes | None,
    at: datetime,
) -> DeadLetter:
    """
    Describe the failure of one record.

    An InvalidMessage brings its own reason and field. Of any other error only the type
    is told: its text may quote what a customer wrote.
    """
    detail = "" if error is None else type(error).__name__
    if isinstance(error, InvalidMessage):
        reason = error.reason
        detail = f"field '{error.field}': {error.detail}" if error.field else error.detail
    whole = original or b""
    return DeadLetter(
        reason=reason,
        detail=detail[:MAX_DETAIL_CHARS],
        stack_digest=stack_digest(error),
        topic=topic,
        partition=partition,
        offset=offset,
        key=None if key is None else key[:MAX_KEY_BYTES],
        original=None if original is None else original[:MAX_ORIGINAL_BYTES],
        original_size=len(whole),
        original_sha256=hashlib.sha256(whole).hexdigest(),
        at=at,
    )


def stack_digest(error: BaseException | None) -> str:
    """A short name for the place where an error arose: its type and the functions on the way, no values."""
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.name}" for frame in frames]
    return hashlib.sha256("\n".join([type(error).__name__, *places]).encode()).hexdigest()[
        :STACK_DIGEST_CHARS
    ]


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """JSON for the dead-letter topic; bytes as base64."""
    return orjson.dumps(
        {
            "reason": letter.reason,
            "detail": letter.detail,
            "stack_digest": letter.stack_digest,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "key": _to_base64(letter.key),
            "original": _to_base64(letter.original),
            "original_size": letter.original_size,
            "original_sha256": letter.original_sha256,
            "at": letter.at.isoformat(),
        }
    )


def decode_dead_letter(raw: bytes | str) -> DeadLetter:
    """Read what `encode_dead_letter` wrote. Raises InvalidMessage for anything else."""
    try:
        fields = orjson.loads(raw)
        return DeadLetter(
            **{
                **fields,
                "key": _from_base64(fields["key"]),
                "original": _from_base64(fields["original"]),
                "at": datetime.fromisoformat(fields["at"]),
            }
        )
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidMessage("bad_dead_letter", f"not a dead letter: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """
    How many dead letters within `window` are taken for normal.

    The worker stops when more than `max_count` records failed, or, once
    `min_records` were seen, more than `max_ratio` of them. The records that
    failed are in the dead-letter topic by then; nothing is lost by stopping.
    """

    max_count: int = 100
    max_ratio: float = 0.05
    min_records: int = 200
    window: timedelta = timedelta(minutes=1)


@dataclass(slots=True)
class DeadLetterWindow:
    """The running count against a `DeadLetterLimit`."""

    limit: DeadLetterLimit
    clock: Callable[[], datetime]
    _counts: deque[tuple[datetime, int, int]] = field(default_factory=deque)

    def count(self, *, seen: int, failed: int) -> None:
        """Add a batch. Raises TooManyDeadLetters past the limit: call it after the letters are delivered."""
        now = self.clock()
        self._counts.append((now, seen, failed))
        while self._counts and self._counts[0][0] <= now - self.limit.window:
            self._counts.popleft()
        if not failed:
            return
        all_seen = sum(count[1] for count in self._counts)
        all_failed = sum(count[2] for count in self._counts)
        too_many = all_failed > self.limit.max_count
        too_often = all_seen >= self.limit.min_records and all_failed > self.limit.max_ratio * all_seen
        if too_many or too_often:
            raise TooManyDeadLetters(
                f"{all_failed} of {all_seen} records failed within "
                f"{self.limit.window.total_seconds():.0f} s; the worker stops. Look at the dead-letter topic "
                "(reason, stack_digest), repair the cause, start the worker, then replay the dead letters.",
                failed=all_failed,
                seen=all_seen,
            )


def _to_base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode("ascii")


def _from_base64(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value, validate=True)
