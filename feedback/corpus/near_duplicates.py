"""Messages that say nearly the same in nearly the same words: they must not stand on both sides of a split."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from rules.text import normalise

SHINGLE = 3
# Shorter messages ("好的，没问题") repeat in all talk; that is no leak.
SHORTEST = 10
LEAST_SIMILARITY = 0.7

Shingles = frozenset[str]


def shingles(text: str) -> Shingles:
    """All runs of three letters or figures of the normalised text; empty for a short one."""
    plain = "".join(char for char in normalise(text).text if char.isalnum())
    if len(plain) < SHORTEST:
        return frozenset()
    return frozenset(plain[i : i + SHINGLE] for i in range(len(plain) - SHINGLE + 1))


def similarity(one: Shingles, other: Shingles) -> float:
    """Jaccard index of two sets of shingles, 0–1."""
    return len(one & other) / len(one | other) if one and other else 0.0


class NearDuplicates:
    """Finds out whether a text nearly stands in a fixed set of texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._known: Sequence[Shingles] = [found for text in texts if (found := shingles(text))]
        self._places: dict[str, list[int]] = defaultdict(list)
        for number, found in enumerate(self._known):
            for piece in found:
                self._places[piece].append(number)

    def has(self, text: str) -> bool:
        """Whether a known text is at least 70 % the same."""
        found = shingles(text)
        shared = Counter(number for piece in found for number in self._places.get(piece, ()))
        # Less overlap than this cannot reach the limit, whatever else the other holds.
        least = LEAST_SIMILARITY * len(found)
        return any(
            count >= least and similarity(found, self._known[number]) >= LEAST_SIMILARITY
            for number, count in shared.items()
        )
