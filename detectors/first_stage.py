"""The first stage of the classifier: a cheap look that settles what is clearly innocent, and joins the encoder on the rest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.domain import Speaker, Turn
from detectors.errors import ModelError
from detectors.manifest import Manifest
from detectors.tokens import InputLimits
from rules.text import normalise

FIRST_STAGE_FILE = "first_stage.npz"

# Runs of up to so many characters are the features.
LONGEST_RUN = 3
SECTIONS = 3
"""The message itself, what customers said before it, what the firm said before it."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Odd numbers with well spread bits (of the golden ratio, and of MurmurHash3 and xxHash64). Another number makes every file useless.
_NEXT = np.uint64(0x9E3779B97F4A7C15)
_SECTIONS = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))
CACHED_TEXTS = 4096


def features(turn: Turn, limits: InputLimits, buckets: int) -> tuple[Ints, ...]:
    """
    The buckets of a turn's character runs, one array per section.

    Each run of one to `LONGEST_RUN` characters of normalised text falls into one of
    `buckets`, a power of two; sections do not share runs. A section that is empty has none.
    """
    before = turn.before[-limits.turns :] if limits.turns else ()
    asked = [m.text for m in before if m.speaker is Speaker.CUSTOMER]
    said = [m.text for m in before if m.speaker is not Speaker.CUSTOMER]
    parts = [
        [normalise(turn.message.text).text],
        *([normalise(text).text[-limits.context :] for text in texts] for texts in (asked, said)),
    ]
    return tuple(_buckets(texts, section, buckets) for section, texts in enumerate(parts))


def _buckets(texts: Sequence[str], section: int, buckets: int) -> Ints:
    found = [_runs(text) for text in texts if text]
    if not found:
        return np.zeros(0, dtype=np.int64)
    # The upper bits of a product depend on all bits of its factors (Knuth, TAOCP 3, 6.4).
    return (np.concatenate(found) * _SECTIONS[section] >> np.uint64(65 - buckets.bit_length())).astype(
        np.int64
    )


@lru_cache(maxsize=CACHED_TEXTS)
def _runs(text: str) -> npt.NDArray[np.uint64]:
    """A hash of every run: a message is context of the next ones, so it is asked for again."""
    # Edges count as a character: "好的" alone is another thing than "好的" in a sentence.
    codes = np.frombuffer(f"\x02{text}\x03".encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(
        np.uint64
    )
    hashes = codes
    found = [hashes]
    for length in range(2, min(LONGEST_RUN, len(codes)) + 1):
        hashes = (hashes[:-1] + np.uint64(length)) * _NEXT + codes[length - 1 :]
        found.append(hashes)
    return np.concatenate(found) * _NEXT


@dataclass(frozen=True, slots=True)
class FirstStage:
    """
    A small network over the mean vectors of a turn's character runs.

    `table` has a row per bucket. `hidden` and `hidden_bias` read the sections' means and the
    message's length, `out` and `out_bias` give logits: first of any violation, then of each
    label of the model. Where the first is below `threshold` a turn is settled. A message
    longer than one window of the encoder is never settled.

    Of what the encoder reads, the encoder's logit of a label is joined by `label_weight`
    times this network's and by `any_weight` times its logit of any violation: words and
    meaning err in different places.
    """

    table: Floats
    hidden: Floats
    hidden_bias: Floats
    out: Floats
    out_bias: Floats
    threshold: float
    label_weight: float
    any_weight: float
    limits: InputLimits

    def look(self, turn: Turn) -> Floats:
        """Logits of any violation and of each label. They do not depend on other turns."""
        width = self.table.shape[1]
        seen = np.zeros(SECTIONS * width + 1, dtype=np.float32)
        for section, found in enumerate(features(turn, self.limits, len(self.table))):
            if len(found):
                mean = np.add.reduce(self.table[found], axis=0) / len(found)
                seen[section * width : (section + 1) * width] = mean
        seen[-1] = length_of(turn)
        inner = np.maximum(self.hidden @ seen + self.hidden_bias, 0)
        return np.asarray(self.out @ inner + self.out_bias, dtype=np.float32)

    def score(self, turn: Turn) -> float:
        """How far from clearly innocent the turn looks: the logit of any violation."""
        return float(self.look(turn)[0])

    def settles(self, turn: Turn, look: Floats | None = None) -> bool:
        """Whether the turn is clearly innocent. `look` spares a second look at it."""
        if len(turn.message.text) > self.limits.message:
            return False
        seen = self.look(turn) if look is None else look
        return float(seen[0]) < self.threshold

    def beside(self, turn: Turn, look: Floats | None = None) -> Floats:
        """What is added to the encoder's logit of each label. `look` spares a second look at the turn."""
        seen = self.look(turn) if look is None else look
        return np.asarray(self.label_weight * seen[1:] + self.any_weight * seen[0], dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write the network; its table in half precision."""
        np.savez_compressed(
            path,
            table=self.table.astype(np.float16),
            hidden=self.hidden.astype(np.float32),
            hidden_bias=self.hidden_bias.astype(np.float32),
            out=self.out.astype(np.float32),
            out_bias=self.out_bias.astype(np.float32),
            numbers=np.array([self.threshold, self.label_weight, self.any_weight], dtype=np.float64),
        )


def beside(
    stage: FirstStage | None, turns: Sequence[Turn], labels: int, looks: Sequence[Floats] | None = None
) -> Floats:
    """
    What a first stage adds to the encoder's logits, of shape (turns, labels); zeros where there is none.

    `looks` are its looks at the turns, where they are known already.
    """
    if stage is None or not turns:
        return np.zeros((len(turns), labels), dtype=np.float32)
    known = looks or [stage.look(turn) for turn in turns]
    return np.stack([stage.beside(turn, look) for turn, look in zip(turns, known, strict=True)])


def length_of(turn: Turn) -> float:
    """The message's length as the network sees it: its logarithm, about 0 to 1 in chat."""
    return math.log1p(len(normalise(turn.message.text).text)) / 5


def read_first_stage(folder: Path, manifest: Manifest) -> FirstStage | None:
    """
    The first stage of a model folder; None for a model that was made without.

    Raises ModelError when it cannot be read or does not fit the labels.
    """
    if FIRST_STAGE_FILE not in manifest.files:
        return None
    path = folder / FIRST_STAGE_FILE
    try:
        with np.load(path, allow_pickle=False) as archive:
            threshold, label_weight, any_weight = (float(value) for value in archive["numbers"])
            table, hidden, hidden_bias, out, out_bias = (
                archive[name].astype(np.float32)
                for name in ("table", "hidden", "hidden_bias", "out", "out_bias")
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy the model again") from error
    size = len(hidden_bias)
    if (
        len(table) & (len(table) - 1)
        or hidden.shape != (size, SECTIONS * table.shape[1] + 1)
        or out.shape != (1 + len(manifest.labels), size)
        or out_bias.shape != (len(out),)
    ):
        raise ModelError(f"{path} has arrays that do not fit together; copy the model again")
    limits = InputLimits(**manifest.input.model_dump())
    return FirstStage(table, hidden, hidden_bias, out, out_bias, threshold, label_weight, any_weight, limits)
