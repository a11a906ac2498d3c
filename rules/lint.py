"""What a pack must have beyond being loadable: examples, areas, law that is in force, a lock that fits."""

from collections.abc import Iterator
from pathlib import Path

from rules.errors import PackError, Problem
from rules.loader import load_pack
from rules.lock import lock_problems
from rules.model import Pack, Rule
from rules.schema import Reading

LEAST_FLAGGED = 3
LEAST_ALLOWED = 3
LEAST_EVASIVE = 2


def lint_pack(path: Path | None = None, *, reading: Reading | None = None) -> Pack:
    """
    Load a pack and check everything that its authors owe.

    Raises PackError with all problems at once; what keeps a pack from loading comes
    first, since the rest cannot be checked then.
    """
    pack = load_pack(path, reading=reading)
    problems = [problem for rule in pack.rules for problem in _owed(rule, pack)]
    problems += lock_problems(pack)
    if problems:
        raise PackError(problems)
    return pack


def _owed(rule: Rule, pack: Pack) -> Iterator[Problem]:
    yield from _examples(rule)
    if pack.catalogue.areas and not rule.areas:
        hint = f"one or more of: {', '.join(pack.catalogue.areas)}"
        yield Problem(rule.file, rule.line, "'areas' is missing", hint)
    yield from _law(rule, pack)


def _examples(rule: Rule) -> Iterator[Problem]:
    for kind, found, least in (
        ("flagged", len(rule.examples.flagged), LEAST_FLAGGED),
        ("allowed", len(rule.examples.allowed), LEAST_ALLOWED),
        ("evasive", len(rule.examples.evasive), LEAST_EVASIVE),
    ):
        if found < least:
            what = f"{found} {kind} example{'' if found == 1 else 's'}, at least {least} are needed"
            yield Problem(rule.file, rule.line, what, "write natural sentences of your own")


def _law(rule: Rule, pack: Pack) -> Iterator[Problem]:
    if not rule.basis:
        what, hint = "'basis' is missing", "cite the articles of legal.yaml on which the rule rests"
        yield Problem(rule.file, rule.line, what, hint)
        return
    laws = [pack.catalogue.reference(ref) for ref in rule.basis]
    starts = [law.in_force for law in laws]
    first = min((day for day in starts if day), default=None)
    if first is None or any(day is None for day in starts):
        return
    if rule.until and rule.until < first:
        what = f"the rule ends on {rule.until}, before the first law it cites is in force ({first})"
        yield Problem(rule.file, rule.line, what, "cite the law of that time, or mend 'effective'")
    elif rule.since and rule.since < first:
        what = f"the rule begins on {rule.since}, before the first law it cites is in force ({first})"
        yield Problem(
            rule.file, rule.line, what, f"write effective: {{since: {first}}}, or cite the law of that time"
        )
