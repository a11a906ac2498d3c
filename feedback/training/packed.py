"""
Much text in little room: dialogues as flat arrays of character ids, and the windows of one reading.

What pre-training reads. A machine with an accelerator needs nothing but this file: no text, no tokeniser.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.tokens import CLASSIFY, ROLES, SEPARATE, Batch, InputLimits, Vocabulary
from feedback.corpus.dialogues import Dialogue
from feedback.training.errors import TrainingError
from rules.text import normalise

Ints = npt.NDArray[np.int64]
ABSENT = -1


@dataclass(frozen=True, slots=True)
class PackedText:
    """
    Tokenised dialogues.

    `ids` are the character ids of all messages, one after the other; message m is
    `ids[starts[m] : starts[m + 1]]`, said by role `roles[m]`, number `places[m]` of
    its dialogue, counted from 0.
    """

    ids: npt.NDArray[np.uint16]
    starts: Ints
    roles: npt.NDArray[np.uint8]
    places: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.roles)

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, hex: the same text packed with the same characters has the same."""
        digest = hashlib.sha256()
        for part in (self.ids, self.starts, self.roles, self.places):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write one compressed file. Lengths instead of offsets: they compress."""
        lengths = np.diff(self.starts).astype(np.int32)
        with path.open("wb") as file:
            np.savez_compressed(file, ids=self.ids, lengths=lengths, roles=self.roles, places=self.places)

    @classmethod
    def load(cls, path: Path) -> "PackedText":
        """Read what `save` wrote. Raises TrainingError."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                starts = np.concatenate([[0], np.cumsum(archive["lengths"], dtype=np.int64)])
                return cls(archive["ids"], starts, archive["roles"], archive["places"])
        except (OSError, KeyError, ValueError) as error:
            raise TrainingError(
                f"{path} cannot be read ({error}); make it again from the dialogues"
            ) from error


def pack(dialogues: Iterable[Dialogue], vocabulary: Vocabulary) -> PackedText:
    """Tokenise dialogues. Messages of which nothing is left after normalisation are dropped."""
    if len(vocabulary) > np.iinfo(np.uint16).max:
        raise TrainingError(f"a vocabulary of {len(vocabulary)} characters is too large to be packed")
    ids: list[npt.NDArray[np.uint16]] = []
    roles: list[int] = []
    places: list[int] = []
    for dialogue in dialogues:
        place = 0
        for speaker, text in dialogue:
            found = vocabulary.ids(normalise(text).text)
            if found:
                ids.append(np.array(found, dtype=np.uint16))
                roles.append(ROLES[speaker])
                places.append(place)
                place += 1
    lengths = np.array([len(part) for part in ids], dtype=np.int64)
    return PackedText(
        np.concatenate(ids) if ids else np.zeros(0, dtype=np.uint16),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array(roles, dtype=np.uint8),
        np.array(places, dtype=np.int32),
    )


@dataclass(frozen=True, slots=True)
class WindowTable:
    """
    Windows as references into packed text, shape (windows, 1 + earlier messages).

    Column 0 is the message itself, column k the k-th message before it: where its
    characters start, how many are read, who spoke; length `ABSENT` where there is none.
    """

    starts: Ints
    lengths: Ints
    roles: Ints

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def sizes(self) -> Ints:
        """Tokens of each window."""
        sizes: Ints = (self.lengths + 1).sum(axis=1)
        return sizes

    def of(self, rows: Ints) -> "WindowTable":
        """Some of the windows."""
        return WindowTable(self.starts[rows], self.lengths[rows], self.roles[rows])

    def with_strangers(
        self, dice: np.random.Generator, share: float
    ) -> tuple["WindowTable", npt.NDArray[np.float32]]:
        """Some windows get another's earlier messages. With it 1 for the own, 0 for a stranger's, NaN without any."""
        owners = np.flatnonzero(self.lengths[:, 1:].max(axis=1, initial=ABSENT) > ABSENT)
        own = np.full(len(self), np.nan, dtype=np.float32)
        own[owners] = 1
        swapped = owners[dice.random(len(owners)) < share]
        if len(swapped) < 2:
            return self, own
        own[swapped] = 0
        parts = []
        for values in (self.starts, self.lengths, self.roles):
            changed = values.copy()
            changed[swapped, 1:] = values[np.roll(swapped, -1), 1:]
            parts.append(changed)
        return WindowTable(*parts), own

    def batch(self, text: PackedText, *, multiple: int) -> Batch:
        """All windows as padded inputs, the same as `detectors.tokens.collate` makes of a turn."""
        longest = -(-int(self.sizes.max()) // multiple) * multiple
        sizes = (self.lengths + 1).ravel()
        total = int(sizes.sum())
        segment = np.repeat(np.arange(len(sizes)), sizes)
        place = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        row, age = np.divmod(segment, self.lengths.shape[1])
        row_start = np.cumsum(self.sizes) - self.sizes
        column = np.arange(total) - row_start[row]
        marks = np.where(age == 0, CLASSIFY, SEPARATE)
        # A mark has no character; what is looked up for it is thrown away.
        source = np.maximum(self.starts.ravel()[segment] + place - 1, 0)
        found = np.where(place == 0, marks, text.ids[np.minimum(source, len(text.ids) - 1)])
        arrays = np.zeros((4, len(self), longest), dtype=np.int64)
        for array, values in zip(arrays, (found, self.roles.ravel()[segment], age, place), strict=True):
            array[row, column] = values
        return Batch(*arrays)


def read_once(text: PackedText, limits: InputLimits, *, seed: int) -> WindowTable:
    """
    The windows of one reading of all text: every n-th message of a dialogue, with those before it.

    So that each character is read about once; where a dialogue begins is drawn anew
    for each seed, and another reading has other messages in the middle.
    """
    dice = np.random.default_rng(seed)
    every = limits.turns + 1
    beginnings = text.places == 0
    shifts = dice.integers(0, every, int(beginnings.sum()))
    # A dialogue shorter than the shift would be passed over.
    counts = np.diff(np.append(np.flatnonzero(beginnings), len(text)))
    shift = np.repeat(np.minimum(shifts, counts - 1), counts)
    chosen = np.flatnonzero((text.places - shift) % every == 0)

    step = limits.message - limits.overlap
    lengths = np.diff(text.starts)
    pieces = np.maximum(-(-(lengths[chosen] - limits.overlap) // step), 1)
    message = np.repeat(chosen, pieces)
    first = (np.arange(len(message)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) * step

    shape = (len(message), every)
    starts = np.zeros(shape, dtype=np.int64)
    sizes = np.full(shape, ABSENT, dtype=np.int64)
    roles = np.zeros(shape, dtype=np.int64)
    starts[:, 0] = text.starts[message] + first
    sizes[:, 0] = np.minimum(lengths[message] - first, limits.message)
    roles[:, 0] = text.roles[message]
    for age in range(1, every):
        there = text.places[message] >= age
        earlier = message[there] - age
        sizes[there, age] = np.minimum(lengths[earlier], limits.context)
        # The end of what was said before says most.
        starts[there, age] = text.starts[earlier + 1] - sizes[there, age]
        roles[there, age] = text.roles[earlier]
    return WindowTable(starts, sizes, roles)
