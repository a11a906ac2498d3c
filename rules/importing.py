"""Imports of a library without the heavy ones that it would take along."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from sys import meta_path
from threading import get_ident
from types import ModuleType


class _Withheld(MetaPathFinder):
    """Says of some modules that they are not installed, to one thread."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._thread = get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self._names and get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is withheld from this import", name=fullname)
        return None


@contextmanager
def withholding(*names: str) -> Iterator[None]:
    """
    Within it, this thread's imports find these modules missing, unless they are loaded already.

    For libraries that take along whatever of their optional companions is installed. Other
    threads notice nothing, and afterwards the modules can be imported as ever.
    """
    finder = _Withheld(names)
    meta_path.insert(0, finder)
    try:
        yield
    finally:
        meta_path.remove(finder)
