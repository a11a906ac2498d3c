"""
The lock file of a pack: which content each version of a rule had.

One line per rule, `id version hash`. What a finding cites, rule id and version, then always means the
same rule file: one whose content changed needs a higher version, and an id that left the pack is retired.
Word lists and guards that rules share are not part of it; the pack hash in every verdict covers them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from rules.errors import PackError, Problem
from rules.loader import retired_ids
from rules.model import Pack, Rule

LOCK_FILE = "rules.lock"
HEADER = (
    "# Written by 'redline rules lock': rule, version, hash of its content without examples and status.\n"
)
_VERSION_LINE = re.compile(r"^version:[ \t]*\d+[ \t]*$", re.MULTILINE)
_ID_LINE = re.compile(r"^id:.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Locked:
    """What the lock file says of one rule."""

    version: int
    content_hash: str
    line: int


@dataclass(frozen=True, slots=True)
class LockChanges:
    """What `update_lock` did: rules new to the lock, with a new content, raised by it, and retired."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    raised: tuple[str, ...]
    retired: tuple[str, ...]


def read_lock(root: Path) -> dict[str, Locked]:
    """
    The lock file by rule id; empty where there is none.

    Raises PackError for lines that are no entries and for ids given twice.
    """
    path = root / LOCK_FILE
    if not path.exists():
        return {}
    locked: dict[str, Locked] = {}
    problems: list[Problem] = []
    for number, text in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if not text.strip() or text.startswith("#"):
            continue
        parts = text.split()
        if len(parts) != 3 or not parts[1].isdecimal():
            hint = "the command 'redline rules lock' writes this file; restore it from version control"
            problems.append(Problem(LOCK_FILE, number, f"not 'id version hash': {text}", hint))
        elif parts[0] in locked:
            problems.append(Problem(LOCK_FILE, number, f"'{parts[0]}' is given twice", "leave one line"))
        else:
            locked[parts[0]] = Locked(int(parts[1]), parts[2], number)
    if problems:
        raise PackError(problems)
    return locked


def lock_problems(pack: Pack) -> list[Problem]:
    """Everything in which the pack and its lock file differ."""
    if pack.root is None:
        return []
    try:
        locked = read_lock(pack.root)
    except PackError as error:
        return list(error.problems)
    differences = (_difference(rule, locked.get(rule.id)) for rule in pack.rules)
    return [found[1] for found in differences if found] + list(_lost(pack, locked))


class _Kind(Enum):
    NOT_LOCKED = auto()
    RAISED = auto()
    FELL = auto()
    SAME_VERSION = auto()


def _difference(rule: Rule, known: Locked | None) -> tuple[_Kind, Problem] | None:
    lock_it = "run 'redline rules lock'"

    def problem(what: str, hint: str) -> Problem:
        return Problem(rule.file, rule.line, what, hint)

    if known is None:
        return _Kind.NOT_LOCKED, problem(f"rule '{rule.id}' is not in {LOCK_FILE}", lock_it)
    if rule.version < known.version:
        what = f"version {rule.version} is older than the locked version {known.version}"
        return _Kind.FELL, problem(what, f"versions only rise; write version: {known.version + 1}")
    if rule.version > known.version:
        what = f"version {rule.version} is not in {LOCK_FILE}, which has {known.version}"
        return _Kind.RAISED, problem(what, lock_it)
    if rule.content_hash == known.content_hash:
        return None
    what = f"the content changed, but version {rule.version} is still the same"
    hint = f"write version: {rule.version + 1} and {lock_it}, or let 'redline rules lock --bump' do both"
    return _Kind.SAME_VERSION, problem(what, hint)


def _lost(pack: Pack, locked: dict[str, Locked]) -> Iterator[Problem]:
    assert pack.root is not None
    gone = set(locked) - {rule.id for rule in pack.rules} - retired_ids(pack.root)
    for rule_id in sorted(gone):
        hint = "add the id to retired.txt and run 'redline rules lock': ids are never used again"
        yield Problem(LOCK_FILE, locked[rule_id].line, f"rule '{rule_id}' is no longer in the pack", hint)


def update_lock(pack: Pack, *, bump: bool = False) -> LockChanges:
    """
    Write the lock file of the pack as it is now.

    With `bump`, rules whose content changed under the same version get the next one, in their
    files. Without it, raises PackError naming them. Raises PackError for versions that fell and for
    rules that left the pack without being retired. Run again, it changes nothing.
    """
    assert pack.root is not None
    locked = read_lock(pack.root)
    found = {rule.id: _difference(rule, locked.get(rule.id)) for rule in pack.rules}
    never = {_Kind.FELL} if bump else {_Kind.FELL, _Kind.SAME_VERSION}
    refused = [difference[1] for difference in found.values() if difference and difference[0] in never]
    refused += _lost(pack, locked)
    if refused:
        raise PackError(refused)
    lines: list[str] = []
    raised: list[str] = []
    for rule in pack.rules:
        difference = found[rule.id]
        version = rule.version
        if difference and difference[0] is _Kind.SAME_VERSION:
            version += 1
            raised.append(rule.id)
            _raise_version(pack.root / rule.file, rule)
        lines.append(f"{rule.id} {version} {rule.content_hash}\n")
    (pack.root / LOCK_FILE).write_text(HEADER + "".join(lines), "utf-8")
    known = {rule.id: locked[rule.id] for rule in pack.rules if rule.id in locked}
    return LockChanges(
        added=tuple(rule.id for rule in pack.rules if rule.id not in locked),
        changed=tuple(
            rule.id
            for rule in pack.rules
            if rule.id in known and known[rule.id].content_hash != rule.content_hash
        ),
        raised=tuple(raised),
        retired=tuple(sorted(locked.keys() - found.keys())),
    )


def _raise_version(path: Path, rule: Rule) -> None:
    text = path.read_text("utf-8")
    line = f"version: {rule.version + 1}"
    if _VERSION_LINE.search(text):
        text = _VERSION_LINE.sub(line, text, count=1)
    else:
        text = _ID_LINE.sub(lambda match: f"{match.group()}\n{line}", text, count=1)
    path.write_text(text, "utf-8")
