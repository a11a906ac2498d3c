"""Adds new samples to the training part."""

import random
from collections import Counter
from collections.abc import Sequence

from feedback.augment.sources import sources
from feedback.labelled import LabelledTurn
from rules.errors import RedlineError


class UnknownSource(RedlineError):
    """A setting names a source of samples that there is not."""


def expanded(
    rows: Sequence[LabelledTurn], names: Sequence[str], *, share: float, seed: int
) -> list[LabelledTurn]:
    """
    New samples only, without the rows they were made of.

    Each source makes children of about `share` of the violating rows and of as many
    compliant ones. The same rows, names and seed give the same samples; the order of the
    rows does not matter to any of them. Raises UnknownSource.
    """
    known = sources()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownSource(f"no source of samples named {', '.join(unknown)}; there are {', '.join(known)}")
    violating = sum(bool(row.labels) for row in rows)
    compliant_share = share * violating / max(1, len(rows) - violating)
    texts = {row.turn.message.text for row in rows}
    made: list[LabelledTurn] = []
    for name in names:
        for row in rows:
            dice = random.Random(f"{seed}:{name}:{row.turn.message.message_id}")
            if dice.random() < (share if row.labels else min(share, compliant_share)):
                made += [new for new in known[name].children(row, dice) if new.turn.message.text not in texts]
    return made


def counted(samples: Sequence[LabelledTurn]) -> dict[str, int]:
    """How many samples of each source there are, for the manifest."""
    tags = (tag.removeprefix("augment:") for row in samples for tag in row.tags if tag.startswith("augment:"))
    return dict(sorted(Counter(tags).items()))
