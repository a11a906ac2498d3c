"""The sources of new samples that need nothing but rules, by name."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from feedback.augment.contrast import Contrast
from feedback.augment.data import read_data, watched_words
from feedback.augment.disguised import Disguised
from feedback.augment.rewrite import NEEDS_OTHERS, Edit, rewritten
from feedback.augment.slots import Slots
from feedback.labelled import LabelledTurn


class Source(Protocol):
    """Makes children of a turn. The same dice give the same children."""

    def children(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        """No, one or several children; each keeps its label or says its own."""


@dataclass(frozen=True, slots=True)
class Register:
    """Says the same in another voice: formal, slangy or spoken words around it."""

    voices: Mapping[str, Mapping[str, Sequence[str]]]

    def children(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        """One child in one voice. Short answers, which live on their context, are left alone."""
        text = row.turn.message.text
        if len(text) < 6 or NEEDS_OTHERS.intersection(row.tags):
            return []
        voice = self.voices[dice.choice(sorted(self.voices))]
        end = len(text.rstrip("。！!.~～ ")) or len(text)
        edits = [Edit(0, 0, dice.choice(voice["before"])), Edit(end, len(text), dice.choice(voice["after"]))]
        return [rewritten(row, edits, source="register", number=1)]


@lru_cache(maxsize=1)
def sources() -> dict[str, Source]:
    """Every source that is here, by the name that a setting gives it."""
    return {
        "slots": Slots.of(read_data("slots.yaml")),
        "register": Register(read_data("register.yaml")),
        "contrast": Contrast.of(read_data("contrast.yaml")),
        "attacks": Disguised(watched_words()),
    }
