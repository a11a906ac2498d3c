"""
A message said anew by a language model: what is asked, and what of an answer holds.

Pure: `feedback.augment.rewriter` asks. A model may drop a denial, add a promise or invent a figure,
and a wrong sample teaches worse than none: every answer is checked, and refused where it is in doubt.
"""

import random
import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from detectors.domain import Speaker
from detectors.judge import Request
from feedback.augment.data import data_file, read_data, watched_words
from feedback.augment.rewrite import NEEDS_OTHERS, child
from feedback.labelled import LabelledTurn
from rules.errors import RedlineError
from rules.text import normalise

NAME = "paraphrase"
# Shorter messages live on what was said before.
SHORTEST = 6
LONGEST = 400
# A new text has between half and double the length, give or take a few words for a short one.
LEAST_LENGTH, MOST_LENGTH, MORE_CHARS = 0.5, 2.0, 12
# Of ten characters eight in the same order: a word or two were exchanged, nobody else speaks.
MOST_LIKE = 0.8
# A quote of one character proves nothing.
SHORTEST_QUOTE = 2
# Above 0: at 0 a model says everything in the likeliest words, which are those of the message itself.
TEMPERATURE = 0.8

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class RewriteRefused(RedlineError):
    """
    An answer is no new sample. `reason` is a stable code, under which it is counted.

    `form`: no JSON of the agreed form; `evidence`: a quote does not stand in the text, or there are more or
    fewer than there were; `length`; `same`: says nearly the same in the same words; `characters`: more
    than plain text; `negation`: a denial came or went; `figures`; `topic`: about another time or kind of
    product; `watched`: a compliant message with a watched word that was not there.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the new text is refused [{reason}]")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    text: str
    evidence: Annotated[list[str], Field(max_length=20)]


def may_be_said_anew(row: LabelledTurn) -> bool:
    """Whether a message means what it means by itself: a violation whose evidence is known, or a hard negative."""
    text = row.turn.message.text
    if row.turn.message.speaker is Speaker.CUSTOMER or NEEDS_OTHERS.intersection(row.tags):
        return False
    if not SHORTEST <= len(text) <= LONGEST:
        return False
    return bool(row.evidence) if row.labels else any(tag.startswith("hard:") for tag in row.tags)


def request(row: LabelledTurn, dice: random.Random, *, model: str) -> Request:
    """The body of a request for a chat completion: the prompt, and the message as one JSON value. Nothing said before goes along."""
    words, message = _words(), row.turn.message
    product = words["products"].get(message.product.kind if message.product else None)
    told = {
        "text": message.text,
        "verdict": "violating" if row.labels else "compliant",
        "labels": sorted(row.labels),
        "evidence": [message.text[start:end] for start, end in row.evidence],
        "as": {
            "speaker": dice.choice(words["speakers"][message.speaker.value]),
            "register": dice.choice(words["registers"]),
            "product": dice.choice(product) if product else None,
        },
    }
    return {
        "model": model,
        "temperature": TEMPERATURE,
        "response_format": {"type": "json_object"},
        "messages": [
            {"role": "system", "content": _prompt()},
            {"role": "user", "content": orjson.dumps(told).decode()},
        ],
    }


def read(row: LabelledTurn, answer: str) -> LabelledTurn:
    """The child that the answer is. Raises RewriteRefused, which says why it is none."""
    try:
        said = _Answer.model_validate_json(answer)
    except (ValidationError, ValueError):
        raise RewriteRefused("form") from None
    text = said.text.strip()
    before = row.turn.message.text
    if not text.isprintable():
        raise RewriteRefused("characters")
    if not LEAST_LENGTH * len(before) - MORE_CHARS <= len(text) <= MOST_LENGTH * len(before) + MORE_CHARS:
        raise RewriteRefused("length")
    if len(text) < SHORTEST:
        raise RewriteRefused("length")
    evidence = _spans(row, text, said.evidence)
    if _nearly_the_same(before, text):
        raise RewriteRefused("same")
    if sorted(_NUMBER.findall(before)) != sorted(_NUMBER.findall(text)):
        raise RewriteRefused("figures")
    if _topics(before) != _topics(text):
        raise RewriteRefused("topic")
    if _denials(text) > _denials(before) if row.labels else (_denials(text) > 0) != (_denials(before) > 0):
        raise RewriteRefused("negation")
    if not row.labels and any(word in text and word not in before for word in watched_words()):
        raise RewriteRefused("watched")
    return child(row, text, evidence, source=NAME, number=1)


def _spans(row: LabelledTurn, text: str, quotes: list[str]) -> list[tuple[int, int]]:
    """Where the quotes stand, each at its only place: of several nobody knows which one is meant."""
    if len(quotes) != len(row.evidence):
        raise RewriteRefused("evidence")
    if any(len(quote.strip()) < SHORTEST_QUOTE or text.count(quote) != 1 for quote in quotes):
        raise RewriteRefused("evidence")
    return [(text.index(quote), text.index(quote) + len(quote)) for quote in quotes]


def _nearly_the_same(before: str, text: str) -> bool:
    plain, other = ("".join(filter(str.isalnum, normalise(each).text)) for each in (before, text))
    if plain in other or other in plain:
        return True  # the same with words around it is what `register` makes
    return SequenceMatcher(None, plain, other, autojunk=False).ratio() >= MOST_LIKE


def _denials(text: str) -> int:
    words = _words()
    for harmless in words["no_negations"]:
        text = text.replace(harmless, "")
    return sum(text.count(word) for word in words["negations"])


def _topics(text: str) -> Mapping[str, bool]:
    return {topic: any(word in text for word in words) for topic, words in _words()["topics"].items()}


@lru_cache(maxsize=1)
def _words() -> dict[str, Any]:
    return read_data("paraphrase.yaml")


@lru_cache(maxsize=1)
def _prompt() -> str:
    return data_file("paraphrase.zh.txt").read_text("utf-8")
