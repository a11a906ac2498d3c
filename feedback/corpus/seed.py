"""Reads the seed corpus: compact JSON lines in, labelled turns out."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from detectors.domain import Message, Product, Speaker, Turn
from feedback.corpus.errors import CorpusError
from feedback.labelled import LabelledTurn

SPEAKERS = {"a": Speaker.ADVISOR, "c": Speaker.CUSTOMER, "b": Speaker.BOT, "o": Speaker.OTHER}
FIRST_MESSAGE_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BETWEEN_MESSAGES = timedelta(seconds=40)
MOST_BEFORE = 8

HardNegative = Literal[
    "negation", "refusal", "warning", "disclosure", "past_fact", "sourced_forecast", "contract_fact",
    "quote_to_correct", "rule_explaining", "other_topic", "fair_warning", "sales_pressure", "slangy_innocent",
]  # fmt: skip


class Annotation(BaseModel):
    """What a writer says of a message: labels with evidence and tags, or the kind of hard negative."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: list[str] = Field(default_factory=list)
    evidence: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    hard: HardNegative | None = None


CorpusTurn = (
    tuple[Literal["a", "b", "c", "o"], Annotated[str, Field(min_length=1)]]
    | tuple[Literal["a", "b", "c", "o"], Annotated[str, Field(min_length=1)], Annotation]
)


class CorpusConversation(BaseModel):
    """One line of a corpus file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    setting: str
    channel: str
    product_kind: str
    turns: list[CorpusTurn] = Field(min_length=1)

    @field_validator("turns")
    @classmethod
    def _consistent(cls, turns: list[CorpusTurn]) -> list[CorpusTurn]:
        for number, turn in enumerate(turns):
            note = turn[2] if len(turn) == 3 else Annotation()
            if note.labels and turn[0] == "c":
                msg = f"turn {number}: a customer's message carries a label"
                raise ValueError(msg)
            if bool(note.labels) != bool(note.evidence):
                msg = f"turn {number}: labels and evidence go together"
                raise ValueError(msg)
            if note.labels and note.hard:
                msg = f"turn {number}: both a violation and a hard negative"
                raise ValueError(msg)
            for quote in note.evidence:
                if quote not in turn[1]:
                    msg = f"turn {number}: evidence «{quote}» is not in the text"
                    raise ValueError(msg)
        return turns


def seed_files() -> list[Path]:
    """The corpus files that ship with redline, in order."""
    return sorted((Path(str(resources.files("feedback"))) / "corpus" / "seed").glob("*.jsonl"))


def read_conversations(paths: Sequence[Path]) -> Iterator[tuple[str, CorpusConversation]]:
    """
    Writer and conversation of every line.

    Raises CorpusError naming file and line of the first broken one.
    """
    for path in paths:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    try:
                        yield path.stem, CorpusConversation.model_validate(orjson.loads(line))
                    except (orjson.JSONDecodeError, ValidationError) as error:
                        raise CorpusError(f"{path.name}:{number}: {error}") from error


def messages_of(conversation: CorpusConversation) -> list[Message]:
    """The conversation as messages. Times are invented, in order."""
    return [
        Message(
            message_id=f"{conversation.id}-{number:02d}",
            conversation_id=conversation.id,
            sent_at=FIRST_MESSAGE_AT + number * BETWEEN_MESSAGES,
            speaker=SPEAKERS[turn[0]],
            text=turn[1],
            channel=conversation.channel,
            product=Product(kind=conversation.product_kind),
        )
        for number, turn in enumerate(conversation.turns)
    ]


def read_corpus(paths: Sequence[Path] | None = None) -> Iterator[LabelledTurn]:
    """Every message of the corpus with its labels, customers' messages included (they carry none)."""
    for writer, conversation in read_conversations(paths if paths is not None else seed_files()):
        messages = messages_of(conversation)
        for number, (turn, message) in enumerate(zip(conversation.turns, messages, strict=True)):
            note = turn[2] if len(turn) == 3 else Annotation()
            tags = [
                *note.tags,
                *([f"hard:{note.hard}"] if note.hard else []),
                f"setting:{conversation.setting}",
            ]
            yield LabelledTurn(
                turn=Turn(message, tuple(messages[max(0, number - MOST_BEFORE) : number])),
                labels=frozenset(note.labels),
                evidence=tuple(spans_of(message.text, note.evidence)),
                tags=tuple(tags),
                group=writer,
                origin="seed",
            )


def spans_of(text: str, quotes: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Offsets of the first place of each quote."""
    for quote in quotes:
        start = text.index(quote)
        yield start, start + len(quote)
