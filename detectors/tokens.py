"""How a turn becomes the encoder's input: the same code trains and serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from detectors.domain import Speaker, Turn
from detectors.errors import ModelError
from rules.text import NormalisedText, normalise

PAD, UNKNOWN, CLASSIFY, SEPARATE, MASK = range(5)
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

ROLES = {Speaker.ADVISOR: 1, Speaker.CUSTOMER: 2, Speaker.BOT: 3, Speaker.OTHER: 4}
"""Role 0 is padding."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class InputLimits:
    """
    How much of a turn the encoder sees, in characters.

    A longer message is judged in windows of `message` characters that overlap by
    `overlap`; `turns` earlier messages give at most `context` characters each.
    """

    message: int = 96
    overlap: int = 24
    context: int = 32
    turns: int = 3


@dataclass(frozen=True, slots=True)
class Encoded:
    """
    The tokens of a normalised text.

    `spans` has the characters of each token, `[start, end)`; None where every token is
    one character, in order.
    """

    ids: list[int]
    spans: list[tuple[int, int]] | None = None


class Tokeniser(Protocol):
    """Turns normalised text into the ids of one encoder."""

    @property
    def classify(self) -> int:
        """Id of the token that stands for the whole window."""

    @property
    def separate(self) -> int:
        """Id of the token before each earlier message."""

    def encode(self, text: str) -> Encoded:
        """The tokens of a text, without special ones."""


class Vocabulary:
    """Characters by id. Ids 0–4 are the special tokens; an unknown character is `UNKNOWN`."""

    classify = CLASSIFY
    separate = SEPARATE

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = tuple(characters)
        self._ids = {char: index + len(SPECIAL_TOKENS) for index, char in enumerate(characters)}
        if len(self._ids) != len(self.characters):
            msg = "the vocabulary lists a character twice"
            raise ModelError(msg)

    def __len__(self) -> int:
        return len(self.characters) + len(SPECIAL_TOKENS)

    def ids(self, text: str) -> list[int]:
        """One id per character of normalised text. A line end reads as a blank."""
        get = self._ids.get
        return [get(char, UNKNOWN) for char in text.replace("\n", " ")]

    def encode(self, text: str) -> Encoded:
        """One token per character."""
        return Encoded(self.ids(text))

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read a file with one character a line."""
        return cls(path.read_text("utf-8").split("\n"))

    def save(self, path: Path) -> None:
        """Write one character a line."""
        path.write_text("\n".join(self.characters), "utf-8")


def same_characters(one: Tokeniser, other: Tokeniser) -> bool:
    """Whether windows made with one can be read by an encoder of the other: both have the same characters as ids."""
    return (
        isinstance(one, Vocabulary) and isinstance(other, Vocabulary) and one.characters == other.characters
    )


@dataclass(frozen=True, slots=True)
class Window:
    """
    One encoder input: a stretch of a message, then the earlier messages, newest first.

    The sequences have one entry per token. Token 0 is `[CLS]`; tokens `1 … length` are
    the message's tokens `first … first + length`: its normalised characters, or where
    `spans` is given the characters `[start, end)` of each. `ages` is 0 for the message itself and k for the k-th message before it.
    `places` counts within its own message.
    """

    ids: list[int]
    roles: list[int]
    ages: list[int]
    places: list[int]
    first: int
    length: int
    spans: list[tuple[int, int]] | None = None

    def to_characters(self, values: Floats, target: Floats) -> None:
        """
        Raise each character of `target` (characters, labels) to what its token says.

        `values` has a row for each token of the window's own message.
        """
        if self.spans is None:
            part = target[self.first : self.first + self.length]
            np.maximum(part, values, out=part)
            return
        for row, (start, end) in zip(values, self.spans, strict=True):
            part = target[start:end]
            np.maximum(part, row, out=part)

    def to_tokens(self, characters: Floats) -> Floats:
        """For each token of the window's own message the largest value of its characters."""
        if self.spans is None:
            return characters[self.first : self.first + self.length]
        return np.array([characters[start:end].max(initial=0) for start, end in self.spans], dtype=np.float32)


def windows(turn: Turn, vocabulary: Tokeniser, limits: InputLimits) -> tuple[NormalisedText, list[Window]]:
    """The encoder inputs that together cover a turn's message, with its normalised text."""
    text = normalise(turn.message.text)
    encoded = vocabulary.encode(text.text)
    role = ROLES[turn.message.speaker]
    before = turn.before[-limits.turns :] if limits.turns else ()
    context = _context([(ROLES[m.speaker], m.text) for m in before], vocabulary, limits)
    step = limits.message - limits.overlap
    last = max(len(encoded.ids) - limits.overlap, 1)
    return text, [
        _window(encoded, first, role, context, vocabulary, limits) for first in range(0, last, step)
    ]


def _context(
    before: Sequence[tuple[int, str]], vocabulary: Tokeniser, limits: InputLimits
) -> list[tuple[int, list[int]]]:
    """Role and ids of each earlier message, newest first. Its end says most, so the end is kept."""
    most = limits.context
    turns = [
        (role, vocabulary.encode(normalise(text).text[-most:]).ids[-most:] if most else [])
        for role, text in before
    ]
    return turns[::-1]


def _window(
    encoded: Encoded,
    first: int,
    role: int,
    context: list[tuple[int, list[int]]],
    vocabulary: Tokeniser,
    limits: InputLimits,
) -> Window:
    piece = encoded.ids[first : first + limits.message]
    tokens = [vocabulary.classify, *piece]
    roles = [role] * len(tokens)
    ages = [0] * len(tokens)
    places = list(range(len(tokens)))
    for age, (speaker, said) in enumerate(context, start=1):
        tokens += [vocabulary.separate, *said]
        roles += [speaker] * (len(said) + 1)
        ages += [age] * (len(said) + 1)
        places += range(len(said) + 1)
    spans = encoded.spans[first : first + limits.message] if encoded.spans is not None else None
    return Window(tokens, roles, ages, places, first, len(piece), spans)


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded inputs of shape (windows, longest). Padding has id, role, age and place 0."""

    ids: Ints
    roles: Ints
    ages: Ints
    places: Ints

    def feed(self) -> dict[str, Ints]:
        """Named inputs, as the exported graph has them."""
        return {"ids": self.ids, "roles": self.roles, "ages": self.ages, "places": self.places}


def collate(items: Sequence[Window], *, multiple: int = 1) -> Batch:
    """Pad windows to the longest, rounded up to a multiple."""
    longest = -(-max(len(item.ids) for item in items) // multiple) * multiple
    arrays = np.zeros((4, len(items), longest), dtype=np.int64)
    for row, item in enumerate(items):
        size = len(item.ids)
        arrays[0, row, :size] = item.ids
        arrays[1, row, :size] = item.roles
        arrays[2, row, :size] = item.ages
        arrays[3, row, :size] = item.places
    return Batch(*arrays)
