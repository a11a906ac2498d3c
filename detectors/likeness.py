"""Which texts share enough of their words to be worth a closer look: a cheap sieve, no judgement."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Share of a message's character pairs that a case must have, or the other way round.
LEAST_SHARED = 0.35

Ints = npt.NDArray[np.int64]


class SharedPairs:
    """An index of texts by their pairs of neighbouring characters."""

    def __init__(self, texts: Sequence[str]) -> None:
        lists: dict[str, list[int]] = {}
        sizes = []
        for number, text in enumerate(texts):
            pairs = _pairs(text)
            sizes.append(len(pairs))
            for pair in pairs:
                lists.setdefault(pair, []).append(number)
        self._lists = {pair: np.array(found, dtype=np.int64) for pair, found in lists.items()}
        self._sizes = np.array(sizes, dtype=np.int64)

    def like(self, text: str) -> Ints:
        """Numbers of the texts that share at least `LEAST_SHARED` of the shorter one's pairs."""
        pairs = _pairs(text)
        found = [self._lists[pair] for pair in pairs if pair in self._lists]
        if not found:
            return np.zeros(0, dtype=np.int64)
        shared = np.bincount(np.concatenate(found), minlength=len(self._sizes))
        shorter = np.maximum(np.minimum(self._sizes, len(pairs)), 1)
        return np.flatnonzero(shared >= LEAST_SHARED * shorter)


def _pairs(text: str) -> set[str]:
    return {text[i : i + 2] for i in range(len(text) - 1)}
