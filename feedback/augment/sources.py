"""The sources of new samples, by name."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import yaml

from feedback.augment.disguised import Disguised
from feedback.augment.rewrite import Edit, child, rewritten
from feedback.labelled import LabelledTurn

MOST_SLOT_EDITS = 4
# A quoted message longer than this no longer reads as a quotation.
LONGEST_QUOTE = 40
# How much of the evidence may be left beside a promise that is denied.
MOST_BESIDE_PROMISE = 3
NEEDS_OTHERS = frozenset({"context", "multi_message"})

_FIGURE = re.compile(r"(?<![\d.])\d{1,2}(?:\.\d{1,2})?(?=%|％|个点|个多点|点|万|倍)")


class Source(Protocol):
    """Makes children of a turn. The same dice give the same children."""

    def children(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        """No, one or several children; each keeps its label or says its own."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Exchanges product, time, speaker and figures: what a message is about, never what it promises."""

    groups: Mapping[str, Sequence[str]]

    def children(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        """One child with up to `MOST_SLOT_EDITS` exchanges; none where there is nothing to exchange."""
        text = row.turn.message.text
        edits = [Edit(m.start(), m.end(), _figure(m.group(), dice)) for m in _FIGURE.finditer(text)]
        taken = [(edit.start, edit.end) for edit in edits]
        for words in self.groups.values():
            for match in re.finditer("|".join(sorted(map(re.escape, words), key=len, reverse=True)), text):
                if all(match.end() <= start or end <= match.start() for start, end in taken):
                    other = dice.choice([word for word in words if word != match.group()])
                    edits.append(Edit(match.start(), match.end(), other))
                    taken.append((match.start(), match.end()))
        chosen = dice.sample(edits, min(len(edits), MOST_SLOT_EDITS))
        return [rewritten(row, chosen, source="slots", number=1)] if chosen else []


def _figure(figure: str, dice: random.Random) -> str:
    """Another figure of the same form and about the same size."""
    value = float(figure)
    other = max(0.1, value * dice.uniform(0.7, 1.4))
    digits = len(figure.partition(".")[2])
    shown = f"{other:.{digits}f}"
    return shown if shown != figure and len(shown.partition(".")[0]) <= 2 else f"{value + 1:.{digits}f}"


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


@dataclass(frozen=True, slots=True)
class Contrast:
    """
    Turns a violation into its compliant twin, by meaning only: quoted to warn, or denied.

    Used are messages that violate by themselves; a twin that might still violate is not made.
    """

    frames: Sequence[str]
    denied: Mapping[str, str]

    def children(self, row: LabelledTurn, dice: random.Random) -> list[LabelledTurn]:
        """Up to two twins without labels."""
        if not row.labels or not row.evidence or NEEDS_OTHERS.intersection(row.tags):
            return []
        return [*self._quoted(row, dice), *self._denied(row)]

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


def _twin(row: LabelledTurn, text: str, kind: str, source: str) -> LabelledTurn:
    return child(row, text, (), source=source, number=1, labels=frozenset(), tags=(f"hard:{kind}",))


@lru_cache(maxsize=1)
def sources() -> dict[str, Source]:
    """Every source that is here, by the name that a setting gives it."""
    contrast = _data("contrast.yaml")
    return {
        "slots": Slots(_data("slots.yaml")),
        "register": Register(_data("register.yaml")),
        "contrast": Contrast(contrast["quoted"], contrast["denied"]),
        "attacks": Disguised(_watched()),
    }


def _watched() -> frozenset[str]:
    """What an evader knows to be watched: the words on an ordinary keyword list."""
    path = Path(str(resources.files("feedback"))) / "evaluation" / "keywords" / "cn.yaml"
    found: dict[str, list[str]] = yaml.safe_load(path.read_text("utf-8"))
    return frozenset(word for words in found.values() for word in words)


def _data(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (Path(str(resources.files("feedback"))) / "augment" / name).read_text("utf-8")
    )
    return found
