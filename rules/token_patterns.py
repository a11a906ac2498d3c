"""spaCy token patterns, tried only where an anchor word occurs: they cost far more than strings."""

from collections.abc import Iterator

import spacy
from spacy.matcher import Matcher

from rules.model import TokenPattern


class TokenMatcher:
    """
    Runs token patterns over normalised text.

    Chinese is cut into characters, not words: a segmenter that misjudges one
    disguised word would hide it. Spans are character offsets in the given text.
    """

    def __init__(self, language: str) -> None:
        self._nlp = spacy.blank(language)
        self._matchers: dict[int, Matcher] = {}
        self._needed: dict[int, list[list[str]]] = {}

    def may_match(self, pattern: TokenPattern, text: str) -> bool:
        """False where an anchor or the text of a required token is missing: the cheap question before `spans`."""
        if not any(anchor in text for anchor in pattern.anchors):
            return False
        needed = self._needed.get(id(pattern))
        if needed is None:
            needed = self._needed[id(pattern)] = _needed_texts(pattern)
        return all(any(choice in text for choice in choices) for choices in needed)

    def spans(self, pattern: TokenPattern, text: str) -> Iterator[tuple[int, int]]:
        """Where the pattern matches."""
        if not self.may_match(pattern, text):
            return
        matcher = self._matchers.get(id(pattern))
        if matcher is None:
            matcher = Matcher(self._nlp.vocab)
            matcher.add("pattern", [[dict(token) for token in pattern.tokens]], greedy="LONGEST")
            self._matchers[id(pattern)] = matcher
        document = self._nlp.make_doc(text)
        for span in matcher(document, as_spans=True):
            yield span.start_char, span.end_char


def _needed_texts(pattern: TokenPattern) -> list[list[str]]:
    """For every token that must be there and is given by its text: its choices."""
    found = []
    for token in pattern.tokens:
        operator = str(token.get("OP", "1"))
        if operator in "?*!" or operator.startswith(("{0", "{,")):
            continue
        value = token.get("TEXT")
        if isinstance(value, str):
            found.append([value])
        elif isinstance(value, dict) and set(value) == {"IN"}:
            found.append(list(value["IN"]))
    return found
