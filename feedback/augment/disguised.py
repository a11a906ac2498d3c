"""New samples by the disguises of evaders, for violations and for innocent talk of the same words."""

import random
from collections.abc import Collection
from dataclasses import dataclass

from feedback.augment.rewrite import child
from feedback.labelled import LabelledTurn
from rules.attacks.disguising import disguise
from rules.attacks.kinds import KINDS
from rules.attacks.text import Marked
from rules.text import normalise


@dataclass(frozen=True, slots=True)
class Disguised:
    """
    Hides one watched word in each piece of evidence by one kind of disguise.

    A compliant message that says such a word is disguised as well, so that a disguise by
    itself proves nothing. What normalisation undoes is left out: the model would read its parent again.
    """

    words: Collection[str]

    def children(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        """One child; none where no kind that is drawn applies."""
        found = self.drawn(row, dice)
        return [found[1]] if found else []

    def drawn(self, row: LabelledTurn, dice: random.Random) -> tuple[str, LabelledTurn] | None:
        """The child with the name of its kind in `KINDS`: the first kind that applies, in an order of the dice."""
        text = row.turn.message.text
        if not text or (row.labels and not row.evidence):
            return None
        marked = Marked(text, row.evidence if row.labels else ((0, len(text)),))
        plain = normalise(text).text
        for kind in dice.sample(list(KINDS), len(KINDS)):
            seed = f"{dice.random()}"
            found = disguise(marked, [kind], words=self.words, seed=seed, anywhere=bool(row.labels))
            if found is not None and normalise(found.text).text != plain:
                spans = found.spans if row.labels else ()
                return kind, child(row, found.text, spans, source="attacks", number=1)
        return None
