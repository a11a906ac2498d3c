"""Items and lexicons written out as linear-time regular expressions."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import re2

from rules.folding import fold_character
from rules.model import Matchers, TokenPattern
from rules.schema import Item, LexiconFile
from rules.text import normalise

LONGEST_EXPRESSION = 60_000
MOST_MEMORY_BYTES = 16 << 20

# In normalised text: full-width marks are already half-width.
CLAUSE_MARKS = ",。!?;:\n~"
SENTENCE_MARKS = "。!?\n"
_REFERENCE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class ExpressionError(ValueError):
    """An item cannot be compiled; the text says why."""


def options() -> re2.Options:
    """RE2 options of every expression here: quiet, bounded memory."""
    chosen = re2.Options()
    chosen.log_errors = False
    chosen.max_mem = MOST_MEMORY_BYTES
    return chosen


class Lexicons:
    """Named word lists that patterns refer to as `{name}`."""

    def __init__(self, files: Mapping[str, LexiconFile]) -> None:
        self._files = files
        self._written: dict[str, str] = {}

    def write_out(self, name: str, chain: tuple[str, ...] = ()) -> str:
        """
        The lexicon as one expression.

        Raises ExpressionError when it is unknown or refers to itself.
        """
        if name in chain:
            raise ExpressionError(f"lexicon cycle: {' → '.join((*chain, name))}")
        if name not in self._files:
            known = ", ".join(sorted(self._files))
            raise ExpressionError(f"unknown lexicon '{name}' (known: {known})")
        if name not in self._written:
            file = self._files[name]
            words = [literal(word) for word in sorted(file.words, key=len, reverse=True)]
            patterns = [self.expand(pattern, (*chain, name)) for pattern in file.patterns]
            self._written[name] = "(?:" + "|".join([*patterns, *words]) + ")"
        return self._written[name]

    def expand(self, pattern: str, chain: tuple[str, ...] = ()) -> str:
        """Replace every `{name}` by its lexicon."""
        return _REFERENCE.sub(lambda match: self.write_out(match.group(1), chain), pattern)

    def union(self, patterns: Sequence[str]) -> str | None:
        """One checked expression for several patterns; None for none."""
        if not patterns:
            return None
        return check("|".join(f"(?:{self.expand(pattern)})" for pattern in patterns))


def literal(word: str) -> str:
    """A word as the engine meets it in normalised text, escaped."""
    plain = normalise(word).text
    if not plain:
        raise ExpressionError(f"'{word}' is empty after normalisation")
    return re2.escape(plain)  # type: ignore[no-any-return]


def check(expression: str) -> str:
    """
    Return the expression if RE2 takes it.

    Raises ExpressionError for syntax that is not linear-time, for one that is too
    long, and for one that matches the empty text.
    """
    if len(expression) > LONGEST_EXPRESSION:
        raise ExpressionError(
            f"the pattern is too long once its lexicons are written out ({len(expression)} characters)"
        )
    for char in expression:
        if char > "\x7f" and fold_character(char) != char:
            raise ExpressionError(
                f"'{char}' never stands in normalised text, where it is '{fold_character(char)}'"
            )
    try:
        compiled = re2.compile(expression, options())
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ExpressionError(f"not a linear-time pattern: {reason}") from error
    if compiled.search(""):
        raise ExpressionError("the pattern matches the empty text")
    return expression


def compile_items(
    items: Iterable[Item], lexicons: Lexicons, on_error: Callable[[int, ExpressionError], None]
) -> Matchers:
    """Compile an item list; each bad item is told to `on_error` with its index and left out."""
    expressions: list[str] = []
    tokens: list[TokenPattern] = []
    for index, item in enumerate(items):
        try:
            if item.tokens is not None:
                anchors = tuple(normalise(anchor).text for anchor in item.anchors or ())
                tokens.append(TokenPattern(tuple(item.tokens), anchors))
            else:
                expressions.append(check(_expression(item, lexicons)))
        except ExpressionError as error:
            on_error(index, error)
    return Matchers(tuple(expressions), tuple(tokens))


def _expression(item: Item, lexicons: Lexicons) -> str:
    if item.term is not None:
        return literal(item.term)
    if item.pattern is not None:
        return lexicons.expand(item.pattern)
    if item.lexicon is not None:
        return lexicons.write_out(item.lexicon)
    parts = [f"(?:{lexicons.expand(part)})" for part in item.near or ()]
    gap = f"[^{re2.escape(CLAUSE_MARKS)}]{{0,{item.gap}}}?"
    return "|".join(gap.join(order) for order in _orders(parts))


def _orders(parts: list[str]) -> list[list[str]]:
    if len(parts) < 2:
        return [parts]
    return [[part, *rest] for i, part in enumerate(parts) for rest in _orders(parts[:i] + parts[i + 1 :])]
