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

    def spans(self, pattern: TokenPattern, text: str) -> Iterator[tuple[int, int]]:
        """Where the pattern matches."""
        if not any(anchor in text for anchor in pattern.anchors):
            return
        matcher = self._matchers.get(id(pattern))
        if matcher is None:
            matcher = Matcher(self._nlp.vocab)
            matcher.add("pattern", [[dict(token) for token in pattern.tokens]], greedy="LONGEST")
            self._matchers[id(pattern)] = matcher
        document = self._nlp.make_doc(text)
        for span in matcher(document, as_spans=True):
            yield span.start_char, span.end_char
