"""How the app that is made lets workers share the partitions."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from streams.app import create_app
from streams.engine import CONTEXT_TABLE, Gauges, WorkerConfig
from streams.metrics import WorkerMetrics
from streams.topics import MESSAGES, context_spec
from streams.vitals import HealthPolicy, Vitals

PARTITIONS = 4
Shares = dict[str, dict[str, list[int]]]


class Group:
    """Workers that share partitions as Faust's leader says, who tells each what it had before."""

    def __init__(self, directory: Path) -> None:
        config = WorkerConfig(bootstrap="localhost:9092", data_dir=directory, partitions=PARTITIONS)

        def clock() -> datetime:
            return datetime.now(UTC)

        gauges = Gauges(Vitals(HealthPolicy(), clock), WorkerMetrics())
        app = create_app(config, lambda _: cast(Any, None), clock=clock, gauges=gauges)
        self.changelog = context_spec(config.app_id, CONTEXT_TABLE, PARTITIONS).name
        self._assignor = cast(Any, app.assignor)
        self._had: dict[str, Any] = {}
        self._new = self._assignor._assignment

    def share(self, workers: Iterable[str]) -> Shares:
        members = {}
        for worker in workers:
            self._assignor._assignment = self._had.get(worker, self._new)
            members[worker] = self._assignor.metadata({MESSAGES, self.changelog})
        cluster = SimpleNamespace(partitions_for_topic=lambda _: set(range(PARTITIONS)))
        given = self._assignor.assign(cluster, members)
        for worker, assignment in given.items():
            self._assignor.on_assignment(assignment)
            self._had[worker] = self._assignor._assignment
        return {
            worker: {topic: sorted(partitions) for topic, partitions in assignment.assignment}
            for worker, assignment in given.items()
        }


def test_conversations_are_read_by_the_worker_that_has_their_messages_and_by_no_other(tmp_path: Path) -> None:
    group = Group(tmp_path)
    for workers in ("a", "ab", "abc", "bc", "bcde", "e"):
        shares = group.share(workers)
        assert all(share[MESSAGES] == share[group.changelog] for share in shares.values())
        assert list(range(PARTITIONS)) == sorted(
            each for share in shares.values() for each in share[MESSAGES]
        )


def test_a_worker_that_joins_gets_partitions(tmp_path: Path) -> None:
    """Where Faust keeps copies of tables, it gives a third worker none of four partitions."""
    group = Group(tmp_path)
    group.share("ab")
    assert [1, 1, 2] == sorted(len(share[MESSAGES]) for share in group.share("abc").values())
