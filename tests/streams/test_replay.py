"""History judged again: what a candidate would change, in one process and in several, with nothing written."""

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from detectors.domain import Evidence, Finding, Message, Outcome, Severity, Source, Turn, Verdict
from streams.identity import content_hash
from streams.replay import Bench, ReplayResult, replay_conversations, replay_in_parallel
from streams.store.base import StoredMessage, StoredVerdict
from streams.store.sqlite import SqliteEventStore
from tests.stream_samples import VERSIONS, message

END = datetime(2100, 1, 1, tzinfo=UTC)


class WordJudge:
    """Flags what contains a word, and says how many messages came before."""

    def __init__(self, word: str, label: str = "guaranteed_return") -> None:
        self.word = word
        self.label = label

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        return [self._verdict(turn) for turn in turns]

    def _verdict(self, turn: Turn) -> Verdict:
        said = turn.message
        found = self.word in said.text
        findings = (
            Finding(
                self.label,
                Severity.HIGH,
                1.0,
                (Source("rule", self.word, "1"),),
                (Evidence(0, 1, said.text[:1]),),
                reason=str(len(turn.before)),
            ),
        )
        return Verdict(
            message_id=said.message_id,
            conversation_id=said.conversation_id,
            outcome=Outcome.FLAGGED if found else Outcome.CLEAN,
            findings=findings if found else (),
            priority=0,
            degraded=False,
            queue_reasons=(),
            versions=VERSIONS,
            detected_at=said.sent_at,
            latency_ms=0.0,
        )


@dataclass(frozen=True)
class OpenBench:
    path: Path
    word: str
    label: str = "guaranteed_return"

    def __call__(self) -> Bench:
        return Bench(SqliteEventStore(self.path), WordJudge(self.word, self.label))


def history(path: Path, conversations: int = 3) -> list[Message]:
    """Messages that say 甲 or 乙 in turn, judged by the word 甲."""
    spoken = [
        message(n, f"c{c}", text="甲" if n % 2 else "乙") for c in range(conversations) for n in range(20)
    ]
    store = SqliteEventStore(path)
    store.write_messages([StoredMessage(each) for each in spoken])
    judged = WordJudge("甲").judge([Turn(each) for each in spoken])
    store.write_verdicts(
        [
            StoredVerdict(replace(verdict, content_hash=content_hash(said)))
            for said, verdict in zip(spoken, judged, strict=True)
        ]
    )
    store.close()
    return spoken


def replay(bench: Bench, conversations: Sequence[str], start: datetime, end: datetime = END) -> ReplayResult:
    return replay_conversations(bench, conversations, start=start, end=end)


def test_the_same_judge_changes_nothing(tmp_path: Path) -> None:
    spoken = history(tmp_path / "e.db")
    result = replay(OpenBench(tmp_path / "e.db", "甲")(), ["c0", "c1"], spoken[0].sent_at)
    assert (2, 40) == (result.conversations, result.messages)
    assert not result.changes


def test_what_a_candidate_says_anew_and_no_longer(tmp_path: Path) -> None:
    spoken = history(tmp_path / "e.db")
    result = replay(OpenBench(tmp_path / "e.db", "乙")(), ["c0"], spoken[0].sent_at)
    assert {"newly_flagged": 10, "no_longer_flagged": 10} == dict(result.changes)
    assert ({"guaranteed_return": 10}, {"guaranteed_return": 10}) == (result.added, result.removed)
    first = result.changed[0]
    assert ("newly_flagged", "乙") == (first.kind, first.message.text)
    other = replay(OpenBench(tmp_path / "e.db", "甲", "forecast")(), ["c0"], spoken[0].sent_at)
    assert {"other_labels": 10} == dict(other.changes)


def test_earlier_messages_are_context_and_not_judged(tmp_path: Path) -> None:
    spoken = history(tmp_path / "e.db")
    start = spoken[5].sent_at
    result = replay(OpenBench(tmp_path / "e.db", "乙")(), ["c0"], start, start + timedelta(seconds=2))
    assert 2 == result.messages
    assert ["6"] == [c.after.findings[0].reason for c in result.changed if c.after.flagged]


def test_a_message_without_a_stored_verdict_is_told(tmp_path: Path) -> None:
    spoken = history(tmp_path / "e.db")
    store = SqliteEventStore(tmp_path / "e.db")
    store.write_messages([StoredMessage(replace(spoken[0], text="丙"))])
    store.close()
    result = replay(OpenBench(tmp_path / "e.db", "甲")(), ["c0"], spoken[0].sent_at)
    assert {"not_judged": 1} == dict(result.changes)


def test_several_processes_say_the_same_and_write_nothing(tmp_path: Path) -> None:
    spoken = history(tmp_path / "e.db", conversations=120)
    names = sorted({each.conversation_id for each in spoken})
    before = (tmp_path / "e.db").read_bytes()
    bench = OpenBench(tmp_path / "e.db", "乙")
    alone = replay(bench(), names, spoken[0].sent_at)
    together = ReplayResult()
    for part in replay_in_parallel(bench, names, start=spoken[0].sent_at, end=END, processes=2):
        together.add(part)
    assert (alone.conversations, alone.messages, alone.changes, alone.added) == (
        together.conversations,
        together.messages,
        together.changes,
        together.added,
    )
    assert before == (tmp_path / "e.db").read_bytes()


def test_what_a_process_raises_comes_through(tmp_path: Path) -> None:
    parts = replay_in_parallel(_broken, ["c1"], start=END, end=END, processes=1)
    with pytest.raises(BrokenProcessPool):
        list(parts)


def _broken() -> Bench:
    raise ValueError("no such pack")


def test_what_the_judge_flagged_counts_as_undecided(tmp_path: Path) -> None:
    """The candidate is not asked together with the judge, so it has not lost what only the judge found."""
    store = SqliteEventStore(tmp_path / "events.db")
    said = message(1, text="甲")
    flagged = WordJudge("甲").judge([Turn(said)])[0]
    by_judge = replace(flagged.findings[0], sources=(Source("judge", "m", "1"),))
    store.write_messages([StoredMessage(said)])
    store.write_verdicts(
        [StoredVerdict(replace(flagged, findings=(by_judge,), content_hash=content_hash(said)))]
    )
    bench = Bench(store, WordJudge("乙"))
    result = replay_conversations(bench, ["c1"], start=said.sent_at, end=END)
    assert {"no_longer_undecided": 1} == dict(result.changes)
    assert not result.removed
    store.close()
