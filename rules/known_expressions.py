"""
What was found out about expressions: once per process, and once per installation where a file is given.

Whether RE2 takes an expression and which words it needs depends on nothing but its text, this code and a
few libraries. The file names them all, so that after an update it counts for nothing; a file that is damaged,
foreign or cannot be written costs a second of work and no more.
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# More than a few packs have; the oldest go first.
MOST_EXPRESSIONS = 8192
_LIBRARIES = ("google-re2", "opencc")
_CODE = ("known_expressions.py", "needed_words.py", "expressions.py", "folding.py")

# An analysis in values that JSON knows.
Written = dict[str, Any]


class KnownExpressions:
    """
    Expressions that RE2 takes, and the analyses of some.

    The analyses of another process are kept as they were read until somebody asks for one.
    """

    def __init__(self) -> None:
        self._taken: dict[str, None] = {}
        self._analyses: dict[str, Written] = {}
        self._has_news = False

    def is_taken(self, expression: str) -> bool:
        """True where the expression was found usable before."""
        return expression in self._taken

    def take(self, expression: str) -> None:
        """The expression is usable."""
        self._has_news = True
        _add(self._taken, expression, None)

    def analysis(self, expression: str, work_out: Callable[[str], Written]) -> Written:
        """What is known of the expression, worked out where nothing is."""
        known = self._analyses.get(expression)
        if known is None:
            self._has_news = True
            known = work_out(expression)
            _add(self._analyses, expression, known)
        return known

    def restore(self, file: Path) -> bool:
        """Take up what `keep` wrote; False where it wrote nothing that is of use here."""
        try:
            head, _, body = file.read_bytes().partition(b"\n")
            if head.decode("ascii") != _heading(body):
                return False
            content = json.loads(body)
        except (OSError, ValueError, PackageNotFoundError):
            return False
        self._taken = dict.fromkeys(content["taken"]) | self._taken
        self._analyses = content["analyses"] | self._analyses
        return True

    def keep(self, file: Path) -> bool:
        """Write all for the next process, if there is anything new; False where that cannot be done."""
        if not self._has_news:
            return True
        content = {"taken": list(self._taken), "analyses": self._analyses}
        written = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        body = written.encode("utf-8", "surrogatepass")
        try:
            _replace(file, _heading(body).encode("ascii") + b"\n" + body)
        except (OSError, PackageNotFoundError):
            return False
        self._has_news = False
        return True


# One for the process: what is found out stays true.
KNOWN = KnownExpressions()


def _add(known: dict[str, Any], expression: str, value: Any) -> None:
    while len(known) >= MOST_EXPRESSIONS:
        del known[next(iter(known))]
    known[expression] = value


def _replace(file: Path, content: bytes) -> None:
    """Other processes see the old file or the new one, whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _heading(body: bytes) -> str:
    """Names the content and all that it depends on."""
    return f"{hashlib.sha256(body).hexdigest()} {_makers()}"


@cache
def _makers() -> str:
    """Names the code and the libraries by which expressions are judged and analysed."""
    digest = hashlib.sha256(sys.version.encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    for module in _CODE:
        digest.update((Path(__file__).parent / module).read_bytes())
    return digest.hexdigest()
