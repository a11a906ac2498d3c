"""
What becomes of dead letters: the dead-letter topic holds letters, and what people did about them.

A letter is never taken out of the topic. Who replays or drops one adds a record that says so, with
name and reason; a letter without such a record is open. One record may leave several letters (the
worker was killed before its offsets moved): they are one, known by where the record lay.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import orjson

from streams import wire
from streams.dead_letters import DeadLetter, decode_dead_letter
from streams.errors import InvalidMessage
from streams.origin import Origin

Resolution = Literal["replayed", "dropped"]
Status = Literal["open", "replayed", "dropped"]
STATUSES: tuple[Status, ...] = ("open", "replayed", "dropped")
_RESOLUTIONS: dict[object, Resolution] = {"replayed": "replayed", "dropped": "dropped"}
_KEY = "resolution"


@dataclass(frozen=True, slots=True)
class DeadLetterEvent:
    """
    A record failed (`open`), or somebody replayed or dropped it, and why.

    `origin` is where the record lay. Only `open` carries reason, detail, digest and size.
    """

    origin: Origin
    status: Status
    at: datetime
    reason: str = ""
    detail: str = ""
    stack_digest: str = ""
    size: int = 0
    sha256: str = ""
    complete: bool = False
    actor: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class LetterState:
    """A letter with what became of it. `letters` is how often the record failed."""

    letter: DeadLetterEvent
    status: Status
    letters: int
    resolved: DeadLetterEvent | None = None

    @property
    def origin(self) -> Origin:
        """Where the record lay."""
        return self.letter.origin


def event_of_letter(letter: DeadLetter) -> DeadLetterEvent:
    """The event that a letter is, without the record's bytes."""
    return DeadLetterEvent(
        origin=Origin(letter.topic, letter.partition, letter.offset),
        status="open",
        at=letter.at,
        reason=letter.reason,
        detail=letter.detail,
        stack_digest=letter.stack_digest,
        size=letter.original_size,
        sha256=letter.original_sha256,
        complete=letter.complete,
    )


def encode_resolution(event: DeadLetterEvent) -> bytes:
    """JSON for the dead-letter topic. Raises ValueError for a letter."""
    if event.status == "open":
        raise ValueError("an open letter is no resolution")
    origin = event.origin
    return orjson.dumps(
        {
            _KEY: event.status,
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "at": event.at.isoformat(),
            "actor": event.actor,
            "why": event.why,
        }
    )


def decode_dlq_record(raw: bytes | None) -> DeadLetter | DeadLetterEvent:
    """A letter, or what was done about one. Raises InvalidMessage for anything else."""
    try:
        record = orjson.loads(raw or b"")
    except orjson.JSONDecodeError as error:
        raise InvalidMessage("bad_dead_letter", "not a dead letter: no JSON") from error
    if not isinstance(record, dict) or _KEY not in record:
        return decode_dead_letter(raw or b"")
    status = _RESOLUTIONS.get(record[_KEY])
    if status is None:
        raise InvalidMessage("bad_dead_letter", f"is none of {', '.join(STATUSES[1:])}", field=_KEY)
    return DeadLetterEvent(
        origin=Origin(
            wire.string(record.get("topic"), "topic"),
            wire.integer(record.get("partition"), "partition"),
            wire.integer(record.get("offset"), "offset"),
        ),
        status=status,
        at=wire.timestamp(record.get("at"), "at"),
        actor=wire.string(record.get("actor"), "actor"),
        why=wire.string(record.get("why"), "why"),
    )


def fold(events: Iterable[DeadLetterEvent]) -> dict[Origin, LetterState]:
    """
    What became of each letter, in the order in which they first failed.

    The last resolution counts, where it was noted after the record last failed. A record that fails
    after the note is open: where the topic was made anew it is another record at the same place.
    (A replayed record is a new one, with a letter of its own.)
    """
    letters: dict[Origin, LetterState] = {}
    notes: dict[Origin, DeadLetterEvent] = {}
    for event in events:
        if event.status == "open":
            known = letters.get(event.origin)
            latest = event if known is None or event.at >= known.letter.at else known.letter
            letters[event.origin] = LetterState(latest, "open", known.letters + 1 if known else 1)
        elif event.origin not in notes or event.at >= notes[event.origin].at:
            notes[event.origin] = event
    for origin, state in letters.items():
        note = notes.get(origin)
        if note is not None and note.at >= state.letter.at:
            letters[origin] = replace(state, status=note.status, resolved=note)
    return letters
