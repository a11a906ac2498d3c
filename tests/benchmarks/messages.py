"""What is measured on: the seed corpus, repeated with ids of its own."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from detectors.domain import Message
from feedback.corpus.seed import messages_of, read_conversations, seed_files
from streams.codec import encode_message


def conversations() -> list[list[Message]]:
    """Every conversation of the seed corpus: chats of real length, most of them clean."""
    return [messages_of(conversation) for _, conversation in read_conversations(seed_files())]


def endless_messages() -> Iterator[Message]:
    """The corpus again and again; no id occurs twice."""
    corpus = conversations()
    for turn in count():
        for messages in corpus:
            for message in messages:
                yield replace(
                    message,
                    message_id=f"{message.message_id}-{turn}",
                    conversation_id=f"{message.conversation_id}-{turn}",
                )


def first_messages(number: int) -> list[Message]:
    """The first so many messages."""
    return list(islice(endless_messages(), number))


def write_messages(path: Path, number: int) -> Iterator[int]:
    """Write so many messages as JSON lines; gives how many are written, now and then."""
    with path.open("wb") as file:
        for written, message in enumerate(islice(endless_messages(), number), start=1):
            file.write(encode_message(message) + b"\n")
            if written % 1000 == 0 or written == number:
                yield written
