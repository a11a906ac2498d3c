"""Follows a pack folder while the process runs: a changed pack is taken up whole, a broken one refused."""

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from rules.errors import PackError, Problem
from rules.examples import check_examples
from rules.loader import find_pack, load_pack
from rules.lock import LOCK_FILE, lock_problems
from rules.model import Pack

log = structlog.get_logger(__name__)

# Name, size and time of change of every file: what can be seen without reading them.
Signature = tuple[tuple[str, int, int], ...]


def load_checked(path: Path | None) -> Pack:
    """
    A pack that may go into service: loaded, and as its lock file says where it has one.

    A half-copied folder and a rule that changed under its old version are refused.
    Raises PackError with all problems.
    """
    pack = load_pack(path)
    problems = lock_problems(pack) if pack.root and (pack.root / LOCK_FILE).exists() else []
    if problems:
        raise PackError(problems)
    return pack


@dataclass(slots=True)
class PackWatch:
    """
    The pack in service, and a look at its folder now and then.

    A change is taken up when two looks in a row see the same files, so that a copy in
    progress is left to end, and only when the pack loads, fits its lock file and
    passes its own examples. Otherwise the old pack stays and the log says why, once
    for each state of the folder.
    """

    path: Path | None
    pack: Pack
    _taken: Signature = field(init=False)
    _seen: Signature = field(init=False)

    def __post_init__(self) -> None:
        self._taken = self._seen = signature(self.path)

    def look(self) -> bool:
        """True when another pack is in service since the last look."""
        now = signature(self.path)
        settled, self._seen = now == self._seen, now
        if now == self._taken or not settled:
            return False
        self._taken = now
        try:
            pack = load_checked(self.path)
            _require_examples(pack)
        except PackError as error:
            log.error(
                "pack_refused",
                kept=self.pack.hash,
                problems=[str(problem) for problem in error.problems],
                effect="the old rules go on; mend the pack, it is looked at again when it changes",
            )
            return False
        if signature(self.path) != now:  # it changed while it was read
            self._taken = ()
            return False
        if pack.hash == self.pack.hash:
            return False
        log.info("pack_swapped", before=self.pack.hash, after=pack.hash, rules=len(pack.rules))
        self.pack = pack
        return True


def signature(path: Path | None) -> Signature:
    """What the folder looks like from outside; empty where it cannot be read."""
    try:
        root = find_pack(path)
        found = []
        for file in sorted(root.rglob("*")):
            if file.is_file():
                facts = file.stat()
                found.append((file.relative_to(root).as_posix(), facts.st_size, facts.st_mtime_ns))
    except (OSError, PackError):
        return ()
    return tuple(found)


def _require_examples(pack: Pack) -> None:
    problems = [
        Problem(failure.rule.file, failure.rule.line, str(failure).partition(": ")[2])
        for failure in check_examples(pack)
    ]
    if problems:
        raise PackError(problems)
