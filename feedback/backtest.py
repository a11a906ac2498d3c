"""What a candidate rule pack would change: the same messages, judged by the rules in service and by the candidate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from detectors.domain import Evidence, Message, Speaker, Turn
from detectors.rule_detector import scene_of
from feedback.decisions import decided_cases
from feedback.store.desk_store import DeskStore
from rules.engine import Engine, Hit
from rules.errors import RuleTimeout
from streams.identity import MessageKey, message_key

# What people said of a message: its labels, none for a dismissed case.
Decisions = Mapping[MessageKey, frozenset[str]]


@dataclass(frozen=True, slots=True)
class RuleHit:
    """One rule's hit in one message. `agreed` is what people said of it; None where nobody did."""

    rule_id: str
    version: int
    label: str
    evidence: tuple[Evidence, ...]
    agreed: bool | None


@dataclass(frozen=True, slots=True)
class Change:
    """A message on which the packs differ, with the hits that only one of them has."""

    message: Message
    added: tuple[RuleHit, ...]
    removed: tuple[RuleHit, ...]


@dataclass(slots=True)
class RuleTally:
    """Hits of one rule id under both packs, and how many of the decided ones people agreed with."""

    before: int = 0
    after: int = 0
    added: int = 0
    removed: int = 0
    decided: int = 0
    agreed: int = 0


@dataclass(slots=True)
class Side:
    """One pack's result: messages flagged, findings with a decision, those of them that were right."""

    flagged: int = 0
    decided: int = 0
    agreed: int = 0

    @property
    def precision(self) -> float | None:
        """Share of the decided findings that people agreed with; None without any."""
        return self.agreed / self.decided if self.decided else None


@dataclass(slots=True)
class Backtest:
    """
    The result. `undecided` messages took too long under one of the packs.

    `changes` has every message on which the packs differ, in the order they came.
    """

    messages: int = 0
    undecided: int = 0
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    rules: dict[str, RuleTally] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def changed_rules(self) -> dict[str, RuleTally]:
        """The rules whose hits differ, most changed first."""
        differing = {name: tally for name, tally in self.rules.items() if tally.added or tally.removed}
        return dict(sorted(differing.items(), key=lambda item: (-(item[1].added + item[1].removed), item[0])))


def reviewed(store: DeskStore) -> dict[MessageKey, frozenset[str]]:
    """Every standing decision of the desk, by message."""
    return {message_key(case.message): case.labels for case in decided_cases(store)}


def backtest(turns: Iterable[Turn], running: Engine, candidate: Engine, decisions: Decisions) -> Backtest:
    """
    Judge each turn by both packs and count what differs.

    Live rules only, as they open cases; customers are passed over. A finding counts as
    agreed when its label is among those of the decision on its message.
    """
    result = Backtest()
    for turn in turns:
        if turn.message.speaker is Speaker.CUSTOMER:
            continue
        result.messages += 1
        decision = decisions.get(message_key(turn.message)) if decisions else None
        try:
            before, after = (_hits(engine, turn, decision) for engine in (running, candidate))
        except RuleTimeout:
            result.undecided += 1
            continue
        _count(result.before, before)
        _count(result.after, after)
        _tally(result.rules, before, after)
        added = tuple(hit for rule_id, hit in after.items() if rule_id not in before)
        removed = tuple(hit for rule_id, hit in before.items() if rule_id not in after)
        if added or removed:
            result.changes.append(Change(turn.message, added, removed))
    return result


def _hits(engine: Engine, turn: Turn, decision: frozenset[str] | None) -> dict[str, RuleHit]:
    found = (hit for hit in engine.hits(scene_of(turn)) if hit.rule.status == "live")
    return {hit.rule.id: _rule_hit(hit, turn.message, decision) for hit in found}


def _rule_hit(hit: Hit, message: Message, decision: frozenset[str] | None) -> RuleHit:
    evidence = tuple(Evidence(start, end, message.text[start:end]) for start, end in hit.spans)
    agreed = None if decision is None else hit.rule.label in decision
    return RuleHit(hit.rule.id, hit.rule.version, hit.rule.label, evidence, agreed)


def _count(side: Side, hits: Mapping[str, RuleHit]) -> None:
    side.flagged += bool(hits)
    by_label = {hit.label: hit.agreed for hit in hits.values() if hit.agreed is not None}
    side.decided += len(by_label)
    side.agreed += sum(by_label.values())


def _tally(rules: dict[str, RuleTally], before: Mapping[str, RuleHit], after: Mapping[str, RuleHit]) -> None:

    for rule_id in {*before, *after}:
        tally = rules.setdefault(rule_id, RuleTally())
        tally.before += rule_id in before
        tally.after += rule_id in after
        tally.added += rule_id in after and rule_id not in before
        tally.removed += rule_id in before and rule_id not in after
        agreed = (after.get(rule_id) or before[rule_id]).agreed
        tally.decided += agreed is not None
        tally.agreed += bool(agreed)
