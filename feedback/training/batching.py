"""Which windows go together in a training step."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SHAPE_STEP = 16
"""Lengths are rounded up to this: libraries prepare and keep their kernels per shape."""


def batches(
    sizes: Sequence[int] | npt.NDArray[np.int64], *, tokens: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    """Indices grouped by similar length, in random order, about `tokens` tokens with the padding each."""
    dice = np.random.default_rng(seed)
    lengths = np.asarray(sizes, dtype=np.int64)
    noisy = np.argsort(lengths + dice.random(len(lengths)) * 8, kind="stable")
    groups: list[npt.NDArray[np.int64]] = []
    begin, longest = 0, 0
    for place, size in enumerate(lengths[noisy].tolist()):
        longest = max(longest, size)
        if place > begin and longest * (place + 1 - begin) > tokens:
            groups.append(noisy[begin:place])
            begin, longest = place, size
    if begin < len(noisy):
        groups.append(noisy[begin:])
    return [groups[index] for index in dice.permutation(len(groups))]
