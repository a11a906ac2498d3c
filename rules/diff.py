"""What changed between two packs, rule by rule."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rules.model import Matchers, Pack, Rule

# Fields of a rule that its author sees; how it matches is compared apart.
COMPARED = (
    "status", "label", "areas", "severity", "score", "speakers", "product_kinds", "channels", "jurisdictions",
    "reading", "since", "until", "asked_within", "asked_directly", "guards", "traits", "basis", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RuleChange:
    """
    One rule that is in both packs and differs.

    `fields` says what, in words. `through_lists` is true when only word lists that
    the rule uses changed, not its own file.
    """

    rule_id: str
    before: Rule
    after: Rule
    fields: tuple[str, ...]
    through_lists: bool

    @property
    def same_version(self) -> bool:
        """True when the rule's own content changed under its old version."""
        return (
            self.before.version == self.after.version and self.before.content_hash != self.after.content_hash
        )


@dataclass(frozen=True, slots=True)
class PackDiff:
    """Everything that differs: rules, and by name the other files of the packs."""

    added: tuple[Rule, ...]
    removed: tuple[Rule, ...]
    changed: tuple[RuleChange, ...]
    files: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """True when the packs say the same."""
        return not (self.added or self.removed or self.changed or self.files)


def diff_packs(old: Pack, new: Pack) -> PackDiff:
    """Compare two loaded packs."""
    before = {rule.id: rule for rule in old.rules}
    after = {rule.id: rule for rule in new.rules}
    changes = (_change(before[rule_id], after[rule_id]) for rule_id in sorted(before.keys() & after.keys()))
    return PackDiff(
        added=tuple(after[rule_id] for rule_id in sorted(after.keys() - before.keys())),
        removed=tuple(before[rule_id] for rule_id in sorted(before.keys() - after.keys())),
        changed=tuple(change for change in changes if change),
        files=tuple(_other_files(old.root, new.root)),
    )


def _change(before: Rule, after: Rule) -> RuleChange | None:
    fields: list[str] = []
    if before.version != after.version:
        fields.append(f"version {before.version} → {after.version}")
    for name in COMPARED:
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            fields.append(name if name == "reason" else f"{name} {_shown(one)} → {_shown(other)}")
    for name, words in (("hits", "any"), ("asked", "context"), ("unless", "unless")):
        fields += _matchers(getattr(before, name), getattr(after, name), words)
    if before.examples != after.examples:
        fields.append("examples")
    if not fields:
        return None
    return RuleChange(
        before.id, before, after, tuple(fields), through_lists=before.content_hash == after.content_hash
    )


def _matchers(one: Matchers | None, other: Matchers | None, words: str) -> list[str]:
    one, other = one or Matchers(), other or Matchers()
    if one == other:
        return []
    gone = len(set(one.expressions) - set(other.expressions))
    come = len(set(other.expressions) - set(one.expressions))
    return [f"{words} +{come} −{gone}"]


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "–"
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return ",".join(sorted(str(item) for item in value))


def _other_files(old: Path | None, new: Path | None) -> list[str]:
    if old is None or new is None:
        return []
    one, other = _contents(old), _contents(new)
    names = sorted(one.keys() | other.keys())
    marks = {(True, False): "−", (False, True): "+", (True, True): "~"}
    return [
        f"{marks[name in one, name in other]} {name}" for name in names if one.get(name) != other.get(name)
    ]


def _contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*.yaml"))
        if path.relative_to(root).parts[0] != "rules"
    }
