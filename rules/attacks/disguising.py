"""Disguise a text by one kind after another; split it over messages."""

from collections.abc import Collection, Sequence
from random import Random

from rules.attacks.kinds import KINDS, Kind
from rules.attacks.targets import targets
from rules.attacks.text import Edit, Marked

SPLIT = "split_messages"
ATTACK_NAMES = (*KINDS, SPLIT)


def disguise(
    marked: Marked, kinds: Sequence[str], *, words: Collection[str], seed: str, anywhere: bool = True
) -> Marked | None:
    """
    The text with its marked stretches disguised by each kind in turn; None where none of them applies.

    What a message means, and so its label, stays. The same arguments give the same
    text. `words` are those that an evader knows to be watched: one of them is hidden
    in each stretch. Where a stretch has none, any two characters are, unless `anywhere`
    is false. Raises KeyError for an
    unknown kind.
    """
    rng = Random(f"{seed}|{'+'.join(kinds)}|{marked.text}")
    changed = False
    for name in kinds:
        edits = _edits(marked, KINDS[name], words, rng, anywhere)
        if edits:
            marked = marked.edited(edits)
            changed = True
    return marked if changed else None


def _edits(marked: Marked, kind: Kind, words: Collection[str], rng: Random, anywhere: bool) -> list[Edit]:
    edits: list[Edit] = []
    stretches = _apart(marked) if kind.whole else targets(marked, words, rng, anywhere=anywhere)
    for start, end in stretches:
        edits += kind.rewrite(marked.text, start, end, rng)
    return edits


def _apart(marked: Marked) -> list[tuple[int, int]]:
    """The marked stretches without those that begin inside an earlier one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(marked.spans):
        if not found or start >= found[-1][1]:
            found.append((start, end))
    return found


def split_over_messages(
    marked: Marked, *, words: Collection[str], seed: str, anywhere: bool = True
) -> tuple[Marked, Marked] | None:
    """
    The text as two messages of one speaker, cut inside a hidden word; None where there is none to cut.

    A stretch that is cut is marked in both.
    """
    rng = Random(f"{seed}|{SPLIT}|{marked.text}")
    found = targets(marked, words, rng, anywhere=anywhere)
    if not found:
        return None
    start, end = rng.choice(found)
    cut = rng.randrange(start + 1, end)
    first = tuple((a, min(b, cut)) for a, b in marked.spans if a < cut)
    second = tuple((max(a, cut) - cut, b - cut) for a, b in marked.spans if b > cut)
    return Marked(marked.text[:cut], first), Marked(marked.text[cut:], second)
