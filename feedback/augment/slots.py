"""New samples by exchanging what a message is about, never what it promises."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from feedback.augment.rewrite import Edit, rewritten
from feedback.labelled import LabelledTurn

MOST_EXCHANGES = 4
TRIES = 8

_FIGURE = re.compile(r"(?<![\d.])\d{1,2}(?:\.\d{1,2})?(?=%|％|个点|个多点|万|倍)")


@dataclass(frozen=True, slots=True)
class Slot:
    """
    Words that may stand for one another.

    `not_after` and `not_before` are characters beside which a word is a piece of another one.
    With `kinds` only in talk of these kinds of product, never in a message with a word of `unless`.
    """

    words: Sequence[str]
    not_after: str = ""
    not_before: str = ""
    kinds: Sequence[str] = ()
    unless: Sequence[str] = ()
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        longest_first = "|".join(sorted(map(re.escape, self.words), key=len, reverse=True))
        after = f"(?<![{re.escape(self.not_after)}])" if self.not_after else ""
        before = f"(?![{re.escape(self.not_before)}])" if self.not_before else ""
        object.__setattr__(self, "pattern", re.compile(f"{after}(?:{longest_first}){before}"))

    def exchange(self, row: LabelledTurn, taken: Sequence[Edit], dice: random.Random) -> list[Edit]:
        """
        Puts another word in every place of the one that a message has, beside the edits that there are.

        None where it has several words of the slot: exchanged, a year and a month might trade places.
        """
        places = list(self.pattern.finditer(row.turn.message.text)) if self._fits(row) else []
        words = {match.group() for match in places}
        if len(words) != 1 or any(
            edit.start < match.end() and match.start() < edit.end for edit in taken for match in places
        ):
            return []
        other = dice.choice([word for word in self.words if word not in words])
        return [Edit(match.start(), match.end(), other) for match in places]

    def _fits(self, row: LabelledTurn) -> bool:
        message = row.turn.message
        kind = message.product.kind if message.product else None
        if self.kinds and kind not in self.kinds:
            return False
        return not any(word in message.text for word in self.unless)


@dataclass(frozen=True, slots=True)
class Slots:
    """
    Exchanges product, time, speaker and figures: what a message is about, never what it promises.

    A time that is past stays past, one to come stays to come, and no product becomes one that other
    rules hold for: 去年涨了8% is a fact, 明年涨8% would be a forecast.
    """

    groups: Mapping[str, Slot]

    @classmethod
    def of(cls, data: Mapping[str, Mapping[str, Any]]) -> "Slots":
        """The groups as `slots.yaml` holds them."""
        return cls({name: Slot(**group) for name, group in data.items()})

    def children(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        """One child with up to `MOST_EXCHANGES` exchanges; none where there is nothing to exchange."""
        text = row.turn.message.text
        found = [_figures(text, dice)]
        taken = [edit for edits in found for edit in edits]
        for slot in self.groups.values():
            edits = slot.exchange(row, taken, dice)
            found.append(edits)
            taken += edits
        changes = [edits for edits in found if edits]
        chosen = dice.sample(changes, min(len(changes), MOST_EXCHANGES))
        return (
            [rewritten(row, [edit for edits in chosen for edit in edits], source="slots", number=1)]
            if chosen
            else []
        )


def _figures(text: str, dice: random.Random) -> list[Edit]:
    """All figures larger, or all smaller: what rose still rises. None where no try keeps their order."""
    found = [match for match in _FIGURE.finditer(text) if float(match.group())]
    for _ in range(TRIES):
        factor = dice.uniform(0.7, 1.4)
        edits = [Edit(match.start(), match.end(), _figure(match.group(), factor)) for match in found]
        pairs = sorted(
            {(float(match.group()), float(edit.text)) for match, edit in zip(found, edits, strict=True)}
        )
        if all(one[1] < other[1] or one[0] == other[0] for one, other in pairwise(pairs)):
            return edits
    return []


def _figure(figure: str, factor: float) -> str:
    """Another figure of the same form; two digits stay two, and none becomes zero."""
    value, digits = float(figure), len(figure.partition(".")[2])
    step = 10.0**-digits
    for other in (value * factor, value + step, value - step):
        shown = f"{other:.{digits}f}"
        if shown != figure and float(shown) > 0 and len(shown.partition(".")[0]) <= 2:
            return shown
    return figure
