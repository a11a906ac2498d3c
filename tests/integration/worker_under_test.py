"""
A worker with a judge that can be foreseen, run as a process: `python -m tests.integration.worker_under_test`.

The reason of each verdict names the messages before it, so that a forgotten context shows.
"""

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from detectors.domain import Finding, Outcome, Severity, Source, Turn, Verdict, Versions
from streams.app import run_faust
from streams.context import ConversationContext
from streams.dead_letters import DeadLetterLimit
from streams.engine import Engine, WorkerConfig, run_worker
from streams.pipeline import Pipeline
from streams.vitals import HealthPolicy

ENGINES: dict[str, Engine] = {"faust": run_faust}
VERSIONS = Versions(catalogue="t", pack="t", model=None, memory=None, code="t")


class ForeseeableJudge:
    """Flags every message, with the ids before it as the reason; fails on the word `boom`."""

    def __init__(self, pause_sec: float) -> None:
        self._pause_sec = pause_sec

    def judge(self, turns: Sequence[Turn]) -> list[Verdict]:
        if any("boom" in turn.message.text for turn in turns):
            raise RuntimeError("the customer's words: boom")
        time.sleep(self._pause_sec * len(turns))
        return [judge_turn(turn) for turn in turns]


def judge_turn(turn: Turn) -> Verdict:
    before = ",".join(message.message_id for message in turn.before)
    source = Source("rule", "foreseeable", "1")
    finding = Finding("guaranteed_return", Severity.HIGH, 1.0, (source,), (), reason=before)
    return Verdict(
        message_id=turn.message.message_id,
        conversation_id=turn.message.conversation_id,
        outcome=Outcome.FLAGGED,
        findings=(finding,),
        priority=50,
        degraded=False,
        queue_reasons=("flagged",),
        versions=VERSIONS,
        detected_at=datetime.now(UTC),
        latency_ms=0.0,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bootstrap")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--pause-sec", type=float, default=0.0)
    parser.add_argument("--max-dead", type=int, default=1_000)
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--engine", choices=ENGINES, default="faust")
    parser.add_argument("--status-port", type=int)
    parser.add_argument("--silence-sec", type=float, default=60.0)
    given = parser.parse_args()
    config = WorkerConfig(
        bootstrap=given.bootstrap,
        data_dir=given.directory,
        partitions=given.partitions,
        health=HealthPolicy(timedelta(seconds=20), timedelta(seconds=given.silence_sec)),
        status=None if given.status_port is None else ("127.0.0.1", given.status_port),
        session_timeout_sec=3.0,
        batch_size=16,
        limit=DeadLetterLimit(max_count=given.max_dead, max_ratio=1.0, window=timedelta(minutes=5)),
        log_level="info",
    )

    def pipeline(context: ConversationContext) -> Pipeline:
        return Pipeline(ForeseeableJudge(given.pause_sec), context)

    run_worker(ENGINES[given.engine], config, pipeline)


if __name__ == "__main__":
    main()
