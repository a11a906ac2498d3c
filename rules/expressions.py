"""Items and lexicons written out as linear-time regular expressions."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import re2

from rules.figures import figure_expression
from rules.folding import FOLDER
from rules.known_expressions import KNOWN
from rules.model import HIT_GROUP, Matchers, TokenPattern
from rules.schema import FigurePart, Item, LexiconFile, Part, Reading, Unless
from rules.text import normalise
from rules.token_schema import literal_texts

LONGEST_EXPRESSION = 60_000
MOST_MEMORY_BYTES = 16 << 20
# What an expression may keep of its automaton between texts, where it fits in: there are a thousand of
# them. For texts of usual length more is no faster, since most of it is never met again.
USUAL_MEMORY_BYTES = 128 << 10

# In normalised text: full-width marks are already half-width.
CLAUSE_MARKS = ",。!?;:\n~"
SENTENCE_MARKS = "。!?\n"
_REFERENCE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
# A figure must not start inside a longer number; RE2 cannot look behind, so the character before is taken along.
_NOT_IN_NUMBER = r"(?:^|[^\d.])"
# What may stand around a bare yes: dots and blanks before it, an ending mark or nothing after it.
_BEFORE_REPLY = r"^[.\s]*"
_AFTER_REPLY = r"(?:$|[,。!~.\s])"
TAIL_SUFFIX = "_tail"


class ExpressionError(ValueError):
    """An item cannot be compiled; the text says why."""


def options(memory_bytes: int = MOST_MEMORY_BYTES) -> re2.Options:
    """RE2 options of every expression here: quiet, bounded memory."""
    chosen = re2.Options()
    chosen.log_errors = False
    chosen.max_mem = memory_bytes
    return chosen


def compiled(expression: str, *, roomy: bool = False) -> Any:
    """A checked expression, ready to search, with as little memory as it gets by with; `roomy`: for a long text."""
    if roomy:
        return re2.compile(expression, options())
    try:
        return re2.compile(expression, options(USUAL_MEMORY_BYTES))
    except re2.error:  # too large for it, as a long word list is
        return re2.compile(expression, options())


OnError = Callable[[int, ExpressionError], None]


class Lexicons:
    """Named word lists that patterns refer to as `{name}`."""

    def __init__(self, files: Mapping[str, LexiconFile]) -> None:
        self._files = files
        self._written: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._files

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

    def words_of(self, name: str) -> tuple[str, ...]:
        """The plain words of a lexicon, as they stand in normalised text; none where it is missing."""
        file = self._files.get(name)
        return tuple(normalise(word).text for word in file.words) if file else ()

    def try_pattern(self, name: str, pattern: str) -> None:
        """Raises ExpressionError for a pattern of the lexicon `name` that cannot be used."""
        check(self.expand(pattern, (name,)))

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
    if KNOWN.is_taken(expression):
        return expression
    if len(expression) > LONGEST_EXPRESSION:
        raise ExpressionError(
            f"the pattern is too long once its lexicons are written out ({len(expression)} characters)"
        )
    for index, folded in FOLDER.changes(expression):
        char = expression[index]
        if char > "\x7f":
            raise ExpressionError(f"'{char}' never stands in normalised text, where it is '{folded}'")
    try:
        pattern = re2.compile(expression, options())
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ExpressionError(f"not a linear-time pattern: {reason}") from error
    if pattern.search(""):
        raise ExpressionError("the pattern matches the empty text")
    KNOWN.take(expression)
    return expression


def compile_items(
    items: Iterable[Item],
    lexicons: Lexicons,
    on_error: OnError,
    *,
    reading: Reading = "standard",
    characters: bool = False,
) -> Matchers:
    """
    Compile an item list; each bad item is told to `on_error` with its index and left out.

    Items for the other reading of forecasts are left out in silence. With `characters`,
    every token of a token pattern is one character.
    """
    expressions: list[str] = []
    exceptions: dict[str, tuple[str, ...]] = {}
    tokens: list[TokenPattern] = []
    for index, item in enumerate(items):
        if item.reading not in (None, reading):
            continue
        try:
            if item.tokens is not None:
                tokens.append(_token_pattern(item, characters=characters))
                continue
            expression = check(_expression(item, lexicons))
            own = [_unless(one, lexicons) for one in item.unless if one.reading in (None, reading)]
        except (ExpressionError, ValueError) as error:
            on_error(index, error if isinstance(error, ExpressionError) else ExpressionError(str(error)))
            continue
        # Written twice with different exceptions, an expression is cancelled only where both cancel it.
        if expression in exceptions or expression in expressions:
            on_error(index, ExpressionError("the same expression is given twice"))
            continue
        expressions.append(expression)
        if own:
            exceptions[expression] = tuple(own)
    return Matchers(tuple(expressions), tuple(tokens), exceptions)


def _token_pattern(item: Item, *, characters: bool) -> TokenPattern:
    tokens = tuple(item.tokens or ())
    for number, token in enumerate(tokens, start=1):
        for text in literal_texts(token):
            if normalise(text).text != text:
                raise ExpressionError(f"token {number}: '{text}' never stands so in normalised text")
            if characters and len(text) != 1:
                what = f"token {number}: '{text}' is never one token: this language is cut into characters"
                raise ExpressionError(what)
    return TokenPattern(tokens, tuple(normalise(anchor).text for anchor in item.anchors or ()))


def compile_unless(
    items: Iterable[Unless], lexicons: Lexicons, on_error: OnError, *, reading: Reading = "standard"
) -> Matchers:
    """Compile what cancels matches; bad ones are told like those of `compile_items`."""
    expressions: list[str] = []
    for index, item in enumerate(items):
        if item.reading not in (None, reading):
            continue
        try:
            expressions.append(_unless(item, lexicons))
        except ExpressionError as error:
            on_error(index, error)
    return Matchers(tuple(expressions))


def _unless(item: Unless, lexicons: Lexicons) -> str:
    """An exception as one expression; a scoped one takes its whole clause, sentence or message."""
    if item.term is not None:
        core = literal(item.term)
    elif item.pattern is not None:
        core = lexicons.expand(item.pattern)
    else:
        core = lexicons.write_out(item.lexicon or "")
    if item.scope is None:
        return check(core)
    check(core)
    around = {
        "clause": _other_than(CLAUSE_MARKS),
        "sentence": _other_than(SENTENCE_MARKS),
        "message": r"[\s\S]",
    }[item.scope]
    return check(f"{around}*(?:{core}){around}*")


def _other_than(marks: str) -> str:
    return f"[^{re2.escape(marks)}]"


def _expression(item: Item, lexicons: Lexicons) -> str:
    if item.term is not None:
        return literal(item.term)
    if item.pattern is not None:
        return lexicons.expand(item.pattern)
    if item.lexicon is not None:
        return lexicons.write_out(item.lexicon)
    if item.figure is not None:
        return _joined([FigurePart(figure=item.figure)], item, lexicons)
    if item.reply is not None:
        return _reply(item.reply, lexicons)
    if item.sequence is not None:
        return _joined(item.sequence, item, lexicons)
    orders = list(_orders(item.near or []))
    if not any(isinstance(part, FigurePart) for part in item.near or ()):
        return "|".join(_joined(order, item, lexicons) for order in orders)
    # A group name may stand once in an expression, so the figure's guard stands outside of the orders.
    bodies = [_joined(order, item, lexicons, named=False) for order in orders]
    return f"{_NOT_IN_NUMBER}(?P<{HIT_GROUP}>{'|'.join(bodies)})"


def _joined(parts: Sequence[Part], item: Item, lexicons: Lexicons, *, named: bool = True) -> str:
    """Parts in this order, each at most `gap` characters after the one before, within the item's scope."""
    inside = _other_than(CLAUSE_MARKS if item.scope == "clause" else SENTENCE_MARKS)
    before_figure = _other_than((CLAUSE_MARKS if item.scope == "clause" else SENTENCE_MARKS) + "0123456789.")
    written = ""
    for part in parts:
        if isinstance(part, FigurePart):
            if written and item.gap:
                written += f"(?:{inside}{{0,{item.gap - 1}}}?{before_figure})?"
            written += figure_expression(part.figure)
        else:
            if written:
                written += f"{inside}{{0,{item.gap}}}?"
            written += f"(?:{lexicons.expand(part)})"
    if named and isinstance(parts[0], FigurePart):
        return f"{_NOT_IN_NUMBER}(?P<{HIT_GROUP}>{written})"
    return written


def _reply(name: str, lexicons: Lexicons) -> str:
    """A message that begins with a bare yes, with its particles, and then stops or goes on after a mark."""
    yes = lexicons.write_out(name)
    tail = f"{lexicons.write_out(name + TAIL_SUFFIX)}*" if name + TAIL_SUFFIX in lexicons else ""
    return f"{_BEFORE_REPLY}(?P<{HIT_GROUP}>(?:{yes}{tail})+){_AFTER_REPLY}"


def _orders(parts: list[Part]) -> list[list[Part]]:
    if len(parts) < 2:
        return [parts]
    return [[part, *rest] for i, part in enumerate(parts) for rest in _orders(parts[:i] + parts[i + 1 :])]
