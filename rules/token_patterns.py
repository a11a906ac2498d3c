"""spaCy token patterns, tried only where their characters stand near one another: they cost far more than strings."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple

import re2

from rules.expressions import options
from rules.importing import withholding
from rules.model import TokenPattern

# spaCy's own library imports each that is installed, for models that nothing here uses: 2 s and 400 MB for torch.
_NEURAL_LIBRARIES = ("torch", "cupy", "tensorflow", "mxnet")
# The language that spaCy cuts into characters here.
CHARACTER_LANGUAGE = "zh"
# Some characters of which spaCy says so; a character outside of the class may be one of the kind or none.
_SURELY = {"IS_ALPHA": "a-zA-Z\u4e00-\u9fff", "IS_DIGIT": "0-9"}
# Every blank that spaCy knows.
_BLANKS = r"[\s\pZ\x0b\x1c-\x1f\x{85}]*"
_COUNT = re.compile(r"[?*+]|\{(?P<least>\d*)(?P<most>,?\d*)\}")


class _Loaded(NamedTuple):
    """What spaCy gives: a tokenizer with its vocabulary, and the class that matches token patterns."""

    pipeline: Any
    matcher: Any


class TokenMatcher:
    """
    Runs token patterns over normalised text.

    Chinese is cut into characters, not words: a segmenter that misjudges one
    disguised word would hide it. Spans are character offsets in the given text.

    spaCy itself is loaded where a text first needs it, which takes most of a second, or by `load`.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._lock = Lock()
        self._matchers: dict[int, Any] = {}
        self._needed: dict[int, list[list[str]]] = {}
        self._shapes: dict[int, Any] = {}

    def load(self) -> None:
        """Load spaCy now, so that no text waits for it. May be called from any thread."""
        with self._lock:
            _ = self._spacy

    def may_match(self, pattern: TokenPattern, text: str) -> bool:
        """False where it cannot: an anchor or a required token is missing, or too far off. Far cheaper than `spans`."""
        if not any(anchor in text for anchor in pattern.anchors):
            return False
        needed = self._needed.get(id(pattern))
        if needed is None:
            needed = self._needed[id(pattern)] = _needed_texts(pattern)
            self._shapes[id(pattern)] = _shape(pattern) if self._language == CHARACTER_LANGUAGE else None
        if not all(any(choice in text for choice in choices) for choices in needed):
            return False
        shape = self._shapes[id(pattern)]
        return shape is None or shape.search(text) is not None

    def spans(self, pattern: TokenPattern, text: str) -> Iterator[tuple[int, int]]:
        """Where the pattern matches."""
        if not self.may_match(pattern, text):
            return
        self.load()
        matcher = self._matchers.get(id(pattern))
        if matcher is None:
            matcher = self._spacy.matcher(self._spacy.pipeline.vocab)
            matcher.add("pattern", [[dict(token) for token in pattern.tokens]], greedy="LONGEST")
            self._matchers[id(pattern)] = matcher
        document = self._spacy.pipeline.make_doc(text)
        for span in matcher(document, as_spans=True):
            yield span.start_char, span.end_char

    @cached_property
    def _spacy(self) -> _Loaded:
        with withholding(*_NEURAL_LIBRARIES):
            import spacy
            from spacy.matcher import Matcher

        return _Loaded(spacy.blank(self._language), Matcher)


def _needed_texts(pattern: TokenPattern) -> list[list[str]]:
    """For every token that must be there and is given by its text: its choices."""
    found = []
    for token in pattern.tokens:
        operator = str(token.get("OP", "1"))
        if operator in "?*!" or operator.startswith(("{0", "{,")):
            continue
        choices = _texts(token)
        if choices is not None:
            found.append(choices)
    return found


def _texts(token: Mapping[str, Any]) -> list[str] | None:
    """The texts of which a token must be one; None where it is given otherwise."""
    value = token.get("TEXT")
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict) and set(value) == {"IN"}:
        return list(value["IN"])
    return None


def _shape(pattern: TokenPattern) -> Any:
    """
    A linear-time expression that every match over single characters also matches; None where there is none.

    A token is a character or a run of blanks; a blank behind another character is no token of its own.
    """
    written = ""
    for token in pattern.tokens:
        operator = str(token.get("OP", "1"))
        count = _COUNT.fullmatch(operator)
        if count is None and operator != "1":
            return None  # a token that must not be there
        times = "" if count is None else operator
        if count is not None and count["most"]:
            times = f"{{{count['least'] or 0}{count['most']}}}"
        written += f"(?:{_one_token(token)}{_BLANKS}){times}"
    try:
        return re2.compile(written, options())
    except re2.error:  # it may be counted to more than RE2 allows
        return None


def _one_token(token: Mapping[str, Any]) -> str:
    choices = _texts(token)
    if choices is not None:
        return f"(?:{'|'.join(map(re2.escape, choices))})"
    refused = "".join(kind for name, kind in _SURELY.items() if token.get(name) is False)
    return f"[^{refused}]" if refused else r"[\s\S]"
