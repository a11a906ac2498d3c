"""The space in which an encoder places messages, and how near two must be to mean the same."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.errors import ModelError
from detectors.manifest import Manifest

SPACE_FILE = "space.npz"
# No message is taken for the like of another below this, however lonely the case is.
LEAST_SIMILARITY = 0.8
MOST_SIMILARITY = 0.995

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncoderSpace:
    """
    A model's space.

    `centre` is where everyday text lies on average: similarity is the cosine seen from
    there. `everyday` has unit vectors of messages that cross no line. A case reaches as
    far as `margin` short of the nearest of them, so that everyday text stays silent.
    """

    centre: Floats
    everyday: Floats
    margin: float

    def units(self, places: Floats) -> Floats:
        """Unit vectors of places, seen from the centre."""
        moved = places - self.centre
        lengths = np.linalg.norm(moved, axis=-1, keepdims=True)
        return np.asarray(moved / np.maximum(lengths, 1e-9), dtype=np.float32)

    def reach(self, units: Floats) -> Floats:
        """For each unit vector the similarity from which another message is its like."""
        nearest = (units @ self.everyday.T).max(axis=-1, initial=-1.0)
        return np.asarray(np.clip(nearest + self.margin, LEAST_SIMILARITY, MOST_SIMILARITY), dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write the space in half precision."""
        np.savez_compressed(
            path,
            centre=self.centre,
            everyday=self.everyday.astype(np.float16),
            margin=np.float32(self.margin),
        )


def read_space(folder: Path, manifest: Manifest) -> EncoderSpace | None:
    """
    The space of a model folder; None for a model that was made without.

    Raises ModelError when it cannot be read.
    """
    if SPACE_FILE not in manifest.files:
        return None
    try:
        with np.load(folder / SPACE_FILE, allow_pickle=False) as archive:
            return EncoderSpace(
                archive["centre"].astype(np.float32),
                archive["everyday"].astype(np.float32),
                float(archive["margin"]),
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder / SPACE_FILE} cannot be read ({error}); copy the model again") from error
