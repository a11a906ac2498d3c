"""
Judge stored history again with other rules or another model, and tell what would change.

Reads the event store and writes nothing: no verdict, no case. Whole conversations are judged, message by
message in the order of their time, so each message has the context that it had.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from multiprocessing import get_context
from typing import Literal

from detectors.domain import Message, Outcome, Verdict
from streams.context import MemoryContext
from streams.identity import verdict_key
from streams.pipeline import Judge, Pipeline
from streams.store.base import EventStore

BATCH = 64
CONVERSATIONS_PER_TASK = 50
TASKS_AHEAD = 4

ChangeKind = Literal[
    "newly_flagged",
    "no_longer_flagged",
    "other_labels",
    "newly_undecided",
    "no_longer_undecided",
    "not_judged",
]


@dataclass(frozen=True, slots=True)
class Change:
    """
    A message on which the candidate says something else. `before` is None where no verdict is stored.

    What the LLM judge flagged counts as undecided before: it is not asked again.
    """

    kind: ChangeKind
    message: Message
    before: Verdict | None
    after: Verdict


@dataclass(slots=True)
class ReplayResult:
    """What was judged, and what changed. `added` and `removed` count messages by label."""

    conversations: int = 0
    messages: int = 0
    changes: Counter[ChangeKind] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    changed: list[Change] = field(default_factory=list)

    def add(self, other: "ReplayResult") -> None:
        """Take the counts of another part; not its list of changes."""
        self.conversations += other.conversations
        self.messages += other.messages
        self.changes += other.changes
        self.added += other.added
        self.removed += other.removed


@dataclass(frozen=True, slots=True)
class Bench:
    """What a process needs for replaying: where to read, and who judges."""

    store: EventStore
    judge: Judge


def replay_conversations(
    bench: Bench, conversations: Iterable[str], *, start: datetime, end: datetime
) -> ReplayResult:
    """Judge the messages of these conversations that were sent in a time; earlier ones are their context."""
    result = ReplayResult()
    for conversation in conversations:
        result.conversations += 1
        context = MemoryContext()
        pipeline = Pipeline(bench.judge, context)
        inside = []
        for message in bench.store.conversation(conversation):
            if message.sent_at < start:
                context.turn(message)
            elif message.sent_at < end:
                inside.append(message)
        for at in range(0, len(inside), BATCH):
            judged = [(item.turn.message, item.verdict) for item in pipeline.process(inside[at : at + BATCH])]
            _compare(bench.store, judged, result)
    return result


def replay_in_parallel(
    open_bench: Callable[[], Bench],
    conversations: Iterable[str],
    *,
    start: datetime,
    end: datetime,
    processes: int,
) -> Iterator[ReplayResult]:
    """
    The same, by several processes; the result of a part as soon as it is there, in any order.

    `open_bench` is called once in each process, so it has to be importable and its store its own.
    What a process raises comes through and ends the others.
    """
    source = iter(conversations)
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_prepare, initargs=(open_bench, start, end)
    ) as pool:
        running: set[Future[ReplayResult]] = set()
        while True:
            while len(running) < processes * TASKS_AHEAD:
                part = list(islice(source, CONVERSATIONS_PER_TASK))
                if not part:
                    break
                running.add(pool.submit(_run_part, part))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


class _Process:
    """What one process of the pool holds."""

    bench: Bench
    start: datetime
    end: datetime


def _prepare(open_bench: Callable[[], Bench], start: datetime, end: datetime) -> None:
    _Process.bench, _Process.start, _Process.end = open_bench(), start, end


def _run_part(conversations: Sequence[str]) -> ReplayResult:
    return replay_conversations(_Process.bench, conversations, start=_Process.start, end=_Process.end)


def _compare(store: EventStore, judged: Sequence[tuple[Message, Verdict]], result: ReplayResult) -> None:
    stored = store.verdicts([verdict_key(after) for _, after in judged])
    for message, after in judged:
        before = _without_judge(stored.get(verdict_key(after)))
        result.messages += 1
        was, now = _labels(before), _labels(after)
        result.added.update(now - was)
        result.removed.update(was - now)
        kind = _kind(before, after, was != now)
        if kind is not None:
            result.changes[kind] += 1
            result.changed.append(Change(kind, message, before, after))


def _without_judge(stored: Verdict | None) -> Verdict | None:
    """What the cascade had said: a candidate is not asked together with the LLM judge."""
    if stored is None or not stored.amended:
        return stored
    return replace(stored, outcome=Outcome.UNDECIDED, findings=())


def _kind(before: Verdict | None, after: Verdict, other_labels: bool) -> ChangeKind | None:
    if before is None:
        return "not_judged"
    if before.flagged != after.flagged:
        return "newly_flagged" if after.flagged else "no_longer_flagged"
    if before.outcome is not after.outcome:
        return "newly_undecided" if after.outcome is Outcome.UNDECIDED else "no_longer_undecided"
    return "other_labels" if after.flagged and other_labels else None


def _labels(verdict: Verdict | None) -> set[str]:
    return (
        {finding.label for finding in verdict.findings} if verdict is not None and verdict.flagged else set()
    )
