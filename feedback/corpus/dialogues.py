"""Reads public dialogue sets: gzipped or plain JSON lines with `turns` or `text`."""

import gzip
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from detectors.domain import Message, Speaker, Turn
from feedback.corpus.errors import CorpusError
from feedback.labelled import LabelledTurn

# How the sets name the side that serves. Where no name is known, the second speaker is taken for it.
SERVING_ROLES = frozenset(
    {"assistant", "supporter", "helper", "counselor", "agent", "sys", "system", "left", "客服", "advisor"}
)
GZIP_MAGIC = b"\x1f\x8b"
MOST_BEFORE = 8
_FIRST_AT = datetime(2026, 1, 5, 9, tzinfo=UTC)

Dialogue = list[tuple[Speaker, str]]


def read_dialogues(paths: Sequence[Path], *, where: tuple[str, str] | None = None) -> Iterator[Dialogue]:
    """
    Dialogues of JSON-lines files, gzipped or not.

    A line has `turns` = [[role, text], …] or `text`, whose lines are read as one
    speaker's. `where` keeps only lines with that field and value. Raises CorpusError
    naming file and line.
    """
    for path in paths:
        with _open(path) as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    record = orjson.loads(line)
                    if where and str(record.get(where[0])) != where[1]:
                        continue
                    dialogue = _dialogue(record)
                except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
                    raise CorpusError(f"{path.name}:{number}: neither 'turns' nor 'text': {error}") from error
                if dialogue:
                    yield dialogue


def repeated(dialogues: Sequence[Dialogue], times: float, *, seed: int) -> list[Dialogue]:
    """The dialogues so many times over; of a fraction, an evenly drawn sample."""
    whole, part = int(times), times - int(times)
    sample = random.Random(seed).sample(list(dialogues), round(len(dialogues) * part))
    return [*dialogues] * whole + sample


def _open(path: Path) -> BinaryIO:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from error
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _dialogue(record: dict[str, object]) -> Dialogue:
    turns = record.get("turns")
    if turns is None:
        return [(Speaker.ADVISOR, part) for part in str(record["text"]).splitlines() if part.strip()]
    if not isinstance(turns, list):
        raise TypeError("'turns' is not a list")
    pairs = [(str(role), str(text)) for role, text in turns if str(text).strip()]
    names = list(dict.fromkeys(role for role, _ in pairs))
    serving = {name for name in names if name.lower() in SERVING_ROLES} or set(names[1:2])
    return [(Speaker.ADVISOR if role in serving else Speaker.CUSTOMER, text) for role, text in pairs]


def as_messages(dialogue: Dialogue, name: str) -> list[Message]:
    """The dialogue as messages. Times are invented, in order."""
    return [
        Message(f"{name}-{index}", name, _FIRST_AT + timedelta(seconds=30 * index), speaker, text)
        for index, (speaker, text) in enumerate(dialogue)
    ]


def as_innocent(
    dialogues: Iterable[Dialogue], name: str, *, every_speaker: bool = True
) -> Iterator[LabelledTurn]:
    """
    Each message as a turn that crosses no line.

    With `every_speaker`, what a customer says is judged as if an advisor had said
    it: the hardest reading, and twice the data.
    """
    for number, dialogue in enumerate(dialogues):
        messages = as_messages(dialogue, f"{name}-{number}")
        for index, message in enumerate(messages):
            if message.speaker is Speaker.CUSTOMER:
                if not every_speaker:
                    continue
                message = Message(
                    message.message_id,
                    message.conversation_id,
                    message.sent_at,
                    Speaker.ADVISOR,
                    message.text,
                )
            before = tuple(messages[max(0, index - MOST_BEFORE) : index])
            yield LabelledTurn(Turn(message, before), frozenset(), group=name, origin="innocent")
