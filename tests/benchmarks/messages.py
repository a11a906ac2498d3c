"""What is measured on: the seed corpus, or real chats with some of it among them, with ids of its own."""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from detectors.domain import Message
from feedback.corpus.dialogues import as_messages, read_dialogues
from feedback.corpus.seed import messages_of, read_conversations, seed_files
from streams.codec import encode_message

# Of a hundred messages of the corpus eleven cross a line; among so many times as many real ones it is one.
REAL_PER_CORPUS_MESSAGE = 10

Conversation = list[Message]


def add_chats_option(parser: argparse.ArgumentParser, what: str) -> None:
    """`--chats FILE …`; `what` says in the help what is done with them."""
    parser.add_argument(
        "--chats",
        type=Path,
        nargs="+",
        default=(),
        metavar="FILE",
        help=f"{what} real chats (dialogue sets as JSON lines, gzipped or not) "
        "among which one message in a hundred crosses a line",
    )


def conversations(chats: Sequence[Path] = ()) -> list[Conversation]:
    """
    Every conversation of the seed corpus: chats of real length, dense with violations and near ones.

    With `chats` (JSON lines with `turns`, as the public dialogue sets), all conversations of
    those, shuffled, with as many of the corpus among them as make one message in a hundred cross a line.
    """
    corpus = [messages_of(conversation) for _, conversation in read_conversations(seed_files())]
    if not chats:
        return corpus
    real = [as_messages(dialogue, f"real{n}") for n, dialogue in enumerate(read_dialogues(chats))]
    wanted = sum(map(len, real)) / REAL_PER_CORPUS_MESSAGE
    shuffled = random.Random(0)
    shuffled.shuffle(corpus)
    while corpus and wanted > 0:
        real.append(corpus.pop())
        wanted -= len(real[-1])
    shuffled.shuffle(real)
    return real


def endless_messages(chats: Sequence[Path] = ()) -> Iterator[Message]:
    """The conversations again and again; no id occurs twice."""
    chosen = conversations(chats)
    for turn in count():
        for messages in chosen:
            for message in messages:
                yield replace(
                    message,
                    message_id=f"{message.message_id}-{turn}",
                    conversation_id=f"{message.conversation_id}-{turn}",
                )


def first_messages(number: int, chats: Sequence[Path] = ()) -> list[Message]:
    """The first so many messages."""
    return list(islice(endless_messages(chats), number))


def write_messages(path: Path, number: int) -> Iterator[int]:
    """Write so many messages as JSON lines; gives how many are written, now and then."""
    with path.open("wb") as file:
        for written, message in enumerate(islice(endless_messages(), number), start=1):
            file.write(encode_message(message) + b"\n")
            if written % 1000 == 0 or written == number:
                yield written
