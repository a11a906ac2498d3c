"""What pydantic finds wrong in a pack file, in words for its author."""

from collections.abc import Iterator

from pydantic import ValidationError

from rules.errors import Problem
from rules.source import Source

_PLAIN_WORDS = {
    "missing": ("'{key}' is missing", "add it"),
    "extra_forbidden": ("unknown key '{key}'", "check the spelling; rules/schema.py lists the keys"),
    "literal_error": ("'{input}' is not allowed here", "one of: {expected}"),
}


def plain_problems(source: Source, error: ValidationError) -> Iterator[Problem]:
    """One problem for each of the error's details, at its line."""
    for detail in error.errors(include_url=False):
        path = detail["loc"]
        key = path[-1] if path else ""
        what, hint = _PLAIN_WORDS.get(detail["type"], ("{message}", ""))
        context = detail.get("ctx", {})
        words = {
            "key": key,
            "input": detail.get("input"),
            "expected": context.get("expected", ""),
            "message": detail["msg"].removeprefix("Value error, "),
        }
        where = ".".join(str(part) for part in path)
        text = what.format(**words)
        yield source.problem(
            path, text if detail["type"] in _PLAIN_WORDS else f"{where}: {text}", hint.format(**words)
        )
