"""Compliant twins of violations: the same words, quoted, denied, or about something else."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detectors.domain import Speaker, Turn
from feedback.augment.rewrite import NEEDS_OTHERS, child
from feedback.labelled import LabelledTurn

# A quoted message longer than this no longer reads as a quotation.
LONGEST_QUOTE = 40
# How much of the evidence may be left beside a promise that is denied.
MOST_BESIDE_PROMISE = 3
# Only a person talks of a parcel or a match by the way.
SMALL_TALKERS = frozenset({Speaker.ADVISOR, Speaker.OTHER})

_GAP = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Sentences by the word of a violation that they hold, on a topic where it does no harm; `fill` has the words for their gaps."""

    frames: Mapping[str, Sequence[str]]
    fill: Mapping[str, Sequence[str]]

    def sentence(self, word: str, dice: random.Random) -> str:
        """One sentence with this word, its gaps filled."""
        return _GAP.sub(lambda gap: dice.choice(self.fill[gap[1]]), dice.choice(self.frames[word]))


@dataclass(frozen=True, slots=True)
class Contrast:
    """
    Turns a violation into its compliant twin, by meaning only: quoted to warn, denied, or the word on another topic.

    Used are messages that violate by themselves; a twin that might still violate is not made.
    """

    frames: Sequence[str]
    denied: Mapping[str, str]
    elsewhere: Elsewhere

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Contrast":
        """The frames as `contrast.yaml` holds them."""
        return cls(data["quoted"], data["denied"], Elsewhere(**data["elsewhere"]))

    def children(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        """Up to three twins without labels."""
        if not row.labels or not row.evidence or NEEDS_OTHERS.intersection(row.tags):
            return []
        return [*self._quoted(row, dice), *self._denied(row), *self._elsewhere(row, dice)]

    def _quoted(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        text = row.turn.message.text.strip().rstrip("。！!~～")
        if not 4 <= len(text) <= LONGEST_QUOTE or "“" in text:
            return []
        said = dice.choice(list(self.frames)).format(text)
        return [_twin(row, said, "quote_to_correct", "quoted")]

    def _denied(self, row: LabelledTurn) -> list[LabelledTurn]:
        if len(row.evidence) != 1:
            return []
        (start, end) = row.evidence[0]
        text = row.turn.message.text
        inside = text[start:end]
        found = [(promise, no) for promise, no in self.denied.items() if promise in inside]
        if (
            len(found) != 1
            or inside.count(found[0][0]) != 1
            or text[max(0, start - 2) : start].endswith("不")
        ):
            return []
        promise, no = found[0]
        if len(inside) - len(promise) > MOST_BESIDE_PROMISE or text.count(promise) != 1:
            return []
        if len(text) - len(inside) > LONGEST_QUOTE // 2:
            return []  # in much other text there may be more of a promise than was marked
        return [_twin(row, text.replace(promise, no), "negation", "denied")]

    def _elsewhere(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        if row.turn.message.speaker not in SMALL_TALKERS:
            return []
        marked = [row.turn.message.text[start:end] for start, end in row.evidence]
        words = [word for word in self.elsewhere.frames if any(word in quote for quote in marked)]
        if not words:
            return []
        said = self.elsewhere.sentence(dice.choice(words), dice)
        twin = _twin(row, said, "other_topic", "elsewhere")
        # It opens a talk of its own: after "能保证8%吗" the same sentence might be heard as an answer.
        return [replace(twin, turn=Turn(twin.turn.message))]


def _twin(row: LabelledTurn, text: str, kind: str, source: str) -> LabelledTurn:
    return child(row, text, (), source=source, number=1, labels=frozenset(), tags=(f"hard:{kind}",))
