"""A phrase that one speaker splits over consecutive messages: 保 | 本的."""

from dataclasses import dataclass

from rules.disguise.vocabulary import LONGEST, Vocabulary
from rules.expressions import CLAUSE_MARKS
from rules.model import Scene
from rules.text import NormalisedText, normalise

MOST_LINES = 3
LONGEST_PREFIX = 24
# A message so short that it is only a piece of a sentence.
LONGEST_PIECE = 4


@dataclass(frozen=True, slots=True)
class Continued:
    """A message with the end of what its speaker said just before: `seam` characters of `text.original`."""

    text: NormalisedText
    seam: int


def continued(scene: Scene, text: str, words: Vocabulary) -> Continued | None:
    """
    What the message goes on with, where it does; None for almost every message.

    It goes on where a word of the pack stands across the seam, or where the message
    before was a mere piece. A message that ends in a mark is complete.
    """
    if not text or not scene.before or scene.before[-1].speaker != scene.line.speaker:
        return None
    prefix = ""
    for line in scene.before[: -MOST_LINES - 1 : -1]:
        if line.speaker != scene.line.speaker or len(prefix) >= LONGEST_PREFIX:
            break
        said = line.text[-LONGEST_PREFIX:]
        plain = normalise(said).text
        if not plain or plain[-1] in CLAUSE_MARKS or not _goes_on(plain, text, words):
            break
        prefix = said + prefix
        text = plain + text
    return Continued(normalise(prefix + scene.line.text), len(prefix)) if prefix else None


def _goes_on(said: str, text: str, words: Vocabulary) -> bool:
    if len(said) <= LONGEST_PIECE:
        return True
    if said[-1] + text[0] in words.word_pairs:
        return True
    if said[-1] + text[0] not in words.plain_pairs:
        return False
    return any(
        said[-left:] + text[:right] in words.words
        for left in range(1, LONGEST)
        for right in range(1, LONGEST + 1 - left)
    )
