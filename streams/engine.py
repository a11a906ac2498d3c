"""
What drives a worker, apart from what it does: the contract between redline and a stream engine.

An engine reads `advisor.messages`, hands batches to a `BatchJudge` over a `TableContext`, and moves
offsets after the verdicts. Faust is the one that ships (`streams.app`); the suite in
`tests/integration/engine_suite.py` says what any other must keep.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, Protocol

from streams.broker import Bootstrap
from streams.context import ConversationContext
from streams.dead_letters import DeadLetterLimit
from streams.errors import BrokerError
from streams.idle import ContextLimits
from streams.metrics import WorkerMetrics
from streams.pipeline import Pipeline
from streams.status_server import serving_status
from streams.table_context import DEFAULT_MAX_MESSAGES
from streams.topics import (
    BROKER_DEFAULT,
    DEFAULT_PARTITIONS,
    MESSAGES,
    WORKER_GROUP,
    context_spec,
    ensure_topics,
    topic_specs,
)
from streams.vitals import HealthPolicy, Vitals

CONTEXT_TABLE = "context"


class PipelineFactory(Protocol):
    """Builds the pipeline over the worker's context. Called once, before the first message."""

    def __call__(self, context: ConversationContext) -> Pipeline:
        """The pipeline of this worker."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """
    What a worker needs to know.

    `app_id` is the consumer group; workers that share it share the partitions.
    `partitions` and `replication` count only when the topics are created. A batch is
    judged when it is full or `batch_wait_ms` old. `data_dir` holds nothing that may
    not be lost. Past `limit` the worker stops. `status` is where /health and /metrics
    are answered (host, port), None for nowhere.
    """

    bootstrap: Bootstrap
    data_dir: Path
    app_id: str = WORKER_GROUP
    partitions: int = DEFAULT_PARTITIONS
    replication: int = BROKER_DEFAULT
    batch_size: int = 40
    batch_wait_ms: int = 20
    commit_interval_ms: int = 500
    delivery_timeout_sec: float = 60.0
    session_timeout_sec: float = 10.0
    max_context_messages: int = DEFAULT_MAX_MESSAGES
    context: ContextLimits = field(default_factory=ContextLimits)
    limit: DeadLetterLimit = field(default_factory=DeadLetterLimit)
    health: HealthPolicy = field(default_factory=HealthPolicy)
    status: tuple[str, int] | None = None
    log_level: str = "warn"


@dataclass(frozen=True, slots=True)
class Gauges:
    """Where an engine tells how it is."""

    vitals: Vitals
    metrics: WorkerMetrics


class Engine(Protocol):
    """
    Runs a worker until a signal comes. The topics exist with `config.partitions` partitions.

    Takes over the process and ends it with SystemExit: 0 after SIGTERM or SIGINT, when what was
    begun is done; 1 when it had to stop. Every record is judged or dead-lettered at least once, each
    first time in the order of its partition, and its offset moves only when that is with the broker.
    """

    def __call__(
        self,
        config: WorkerConfig,
        pipeline_factory: PipelineFactory,
        *,
        clock: Callable[[], datetime],
        gauges: Gauges,
    ) -> NoReturn:
        """Run."""


def utc_now() -> datetime:
    """The clock of a worker that was given none."""
    return datetime.now(UTC)


def run_worker(
    engine: Engine,
    config: WorkerConfig,
    pipeline_factory: PipelineFactory,
    *,
    clock: Callable[[], datetime] = utc_now,
    metrics: WorkerMetrics | None = None,
) -> NoReturn:
    """
    Create the topics, then judge until a signal comes, with /health and /metrics beside it. See `Engine`.

    `metrics` are given where something beside the engine counts too.

    Raises BrokerError before anything runs when the broker cannot be reached or the topics do not fit.
    """
    config.data_dir.mkdir(parents=True, exist_ok=True)
    gauges = Gauges(Vitals(config.health, clock), metrics or WorkerMetrics())
    with ExitStack() as beside:
        if config.status is not None:
            host, port = config.status
            beside.enter_context(
                serving_status(host, port, health=gauges.vitals.health, registry=gauges.metrics.registry)
            )
        config = replace(config, partitions=_prepare_topics(config))
        engine(config, pipeline_factory, clock=clock, gauges=gauges)


def conversations_moved(app_id: str, partitions: int, known: int) -> BrokerError:
    """What to raise when the messages have other partitions than the context."""
    return BrokerError(
        f"{MESSAGES} has {partitions} partitions but {context_spec(app_id, CONTEXT_TABLE, known).name} has "
        f"{known}: somebody added partitions, and conversations have moved. Stop all workers, delete the "
        "changelog topic (its context is read anew as messages come), and start again.",
        retryable=False,
    )


def _prepare_topics(config: WorkerConfig) -> int:
    """Create what is missing; the number of partitions of the messages, which the context must share."""
    found = ensure_topics(config.bootstrap, topic_specs(config.partitions), replication=config.replication)
    partitions = found[MESSAGES]
    changelog = context_spec(config.app_id, CONTEXT_TABLE, partitions)
    made = ensure_topics(config.bootstrap, [changelog], replication=config.replication)
    if made[changelog.name] != partitions:
        raise conversations_moved(config.app_id, partitions, made[changelog.name])
    return partitions
