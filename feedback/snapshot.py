"""What a reviewer is shown of a case, in one canonical text that a decision can be tied to."""

from dataclasses import dataclass
from hashlib import sha256

import orjson

from detectors.domain import Message, Turn, Verdict
from streams.codec import decode_verdict, encode_message, encode_verdict, restore_message


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The message, those before it as they were when the case was opened, and the verdict."""

    message: Message
    before: tuple[Message, ...]
    verdict: Verdict

    @property
    def turn(self) -> Turn:
        """The message with its context, as a detector takes it."""
        return Turn(message=self.message, before=self.before)


def encode_snapshot(snapshot: Snapshot) -> str:
    """Canonical JSON: the same snapshot gives the same text."""
    return orjson.dumps(
        {
            "message": orjson.loads(encode_message(snapshot.message)),
            "before": [orjson.loads(encode_message(message)) for message in snapshot.before],
            "verdict": orjson.loads(encode_verdict(snapshot.verdict)),
        },
        option=orjson.OPT_SORT_KEYS,
    ).decode()


def decode_snapshot(text: str, *, with_context: bool = True) -> Snapshot:
    """The inverse of `encode_snapshot`; a list of cases leaves the context out to stay quick."""
    fields = orjson.loads(text)
    return Snapshot(
        message=restore_message(fields["message"]),
        before=tuple(restore_message(message) for message in fields["before"] if with_context),
        verdict=decode_verdict(orjson.dumps(fields["verdict"])),
    )


def snapshot_digest(text: str) -> str:
    """SHA-256 of an encoded snapshot: what was shown, in 64 characters."""
    return sha256(text.encode()).hexdigest()
