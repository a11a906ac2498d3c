"""
The worker: a Faust app that judges `advisor.messages` onto `compliance.verdicts`.

At least once, by these rules: one batch at a time; a record is acknowledged by hand, in order,
and only after its verdict or its dead letter and the changed context are with the broker; anything
unexpected ends the process before the next batch, so that no later offset moves past a record that
is not done. (Faust itself acknowledges a batch also when the agent raised or was cancelled, and
drops fetched records around a rebalance: see `streams.continuity`.)
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

import faust
from faust.types import TP

from streams.batch import BatchJudge, BatchResult, Record
from streams.broker import Bootstrap, as_broker
from streams.context import ConversationContext
from streams.continuity import Arrival, Continuity, StallWatch
from streams.dead_letters import DeadLetter, DeadLetterLimit, DeadLetterWindow, encode_dead_letter
from streams.errors import BrokerError
from streams.pipeline import Pipeline
from streams.security import KafkaSecurity
from streams.store.base import Origin
from streams.table_context import DEFAULT_MAX_CONVERSATIONS, DEFAULT_MAX_MESSAGES, TableContext
from streams.topics import (
    DEAD_LETTERS,
    DEFAULT_PARTITIONS,
    MAX_REQUEST_BYTES,
    MESSAGES,
    VERDICTS,
    context_spec,
    ensure_topics,
    topic_specs,
)

log = logging.getLogger(__name__)

CONTEXT_TABLE = "context"
EXIT_FAILED = 1
STALL_CHECK_SEC = 10.0


class PipelineFactory(Protocol):
    """Builds the pipeline over the worker's context. Called once, when the app is created."""

    def __call__(self, context: ConversationContext) -> Pipeline:
        """The pipeline of this worker."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """
    What a worker needs to know.

    `app_id` is the consumer group; workers that share it share the partitions.
    `partitions` and `replication` count only when the topics are created. A batch is
    judged when it is full or `batch_wait_ms` old. `data_dir` holds nothing that may
    not be lost. Past `limit` the worker stops.
    """

    bootstrap: Bootstrap
    data_dir: Path
    app_id: str = "redline-worker"
    partitions: int = DEFAULT_PARTITIONS
    replication: int = 1
    batch_size: int = 64
    batch_wait_ms: int = 20
    commit_interval_ms: int = 500
    delivery_timeout_sec: float = 60.0
    session_timeout_sec: float = 10.0
    max_context_messages: int = DEFAULT_MAX_MESSAGES
    max_conversations: int = DEFAULT_MAX_CONVERSATIONS
    limit: DeadLetterLimit = field(default_factory=DeadLetterLimit)
    log_level: str = "warn"


def utc_now() -> datetime:
    """The clock of a worker that was given none."""
    return datetime.now(UTC)


def create_app(
    config: WorkerConfig, pipeline_factory: PipelineFactory, *, clock: Callable[[], datetime] = utc_now
) -> faust.App:
    """
    The Faust app with its one agent. Connects to nothing yet.

    The topics must exist with `config.partitions` partitions: `run_worker` sees to both.
    """
    app = _faust_app(config)
    messages = _raw_topic(app, MESSAGES)
    verdicts = _raw_topic(app, VERDICTS)
    dead_letters = _raw_topic(app, DEAD_LETTERS)

    async def on_changelog_event(event: Any) -> None:
        context.remember(event.key, event.message.partition, deleted=event.value is None)

    table = app.Table(
        CONTEXT_TABLE,
        key_type=bytes,
        value_type=bytes,
        partitions=config.partitions,
        on_changelog_event=on_changelog_event,
    )
    context = TableContext(
        FaustTable(table),
        committed=lambda partition: _committed(app, partition),
        clock=clock,
        max_messages=config.max_context_messages,
        max_conversations=config.max_conversations,
    )
    judge = BatchJudge(pipeline_factory(context), context, clock=clock)
    window = DeadLetterWindow(config.limit, clock)

    async def deliver(result: BatchResult) -> None:
        sent: list[Awaitable[Any]] = [
            await verdicts.send(key=verdict.key, value=verdict.value) for verdict in result.verdicts
        ]
        sent += [
            await dead_letters.send(key=letter.key, value=encode_dead_letter(letter))
            for letter in result.dead
        ]
        for delivery in sent:
            await delivery
        await context.flush()

    continuity = Continuity(lambda partition: _committed(app, partition))
    stalls = StallWatch(continuity)

    async def on_revoked(_: Any, revoked: Any, **__: Any) -> None:
        gone = [tp.partition for tp in revoked if tp.topic == MESSAGES]
        continuity.forget(gone)
        context.disown(gone)

    app.on_partitions_revoked.connect(cast(Any, on_revoked))

    async def reread(why: str) -> None:
        if app.rebalancing:
            return  # Faust is about to go back to the committed offsets by itself
        log.warning("%s: reading again from the last committed offset", why)
        await rewind(app)

    async def in_order(events: Sequence[Any]) -> list[Any]:
        """The records to judge now; the others come again."""
        taken = []
        for event in events:
            partition, offset = event.message.partition, event.message.offset
            if partition >= config.partitions:
                raise conversations_moved(config.app_id, partition + 1, config.partitions)
            expected = continuity.expected(partition)
            arrival = continuity.arrive(partition, offset)
            if arrival is Arrival.REWIND:
                await reread(f"{MESSAGES}[{partition}] gave offset {offset} where {expected} was due")
            elif arrival is Arrival.TAKE_OVER_HOLE:
                assert expected is not None
                await cast(Any, app.consumer)._add_gap(event.message.tp, expected, offset - 1)
            if arrival in (Arrival.TAKE, Arrival.TAKE_OVER_HOLE):
                taken.append(event)
        return taken

    async def look_for_stalls() -> None:
        consumer: Any = app.consumer
        if app.rebalancing or not consumer.flow_active:
            return
        positions = {
            tp.partition: await consumer.position(tp) or 0
            for tp in consumer.assignment()
            if tp.topic == MESSAGES
        }
        for partition in stalls.stalled(positions):
            await reread(f"{MESSAGES}[{partition}] was fetched but nothing arrives")

    app.timer(STALL_CHECK_SEC)(look_for_stalls)

    async def handle(stream: Any, arrived: Sequence[Any]) -> None:
        events = await in_order(arrived)
        if not events:
            return
        result = judge.judge([_record(event) for event in events])
        await asyncio.wait_for(deliver(result), timeout=config.delivery_timeout_sec)
        for event in events:
            await stream.ack(event)
        _log_dead(result.dead)
        window.count(seen=len(events), failed=len(result.dead))

    @app.agent(messages, name="judge", concurrency=1)
    async def judge_messages(stream: Any) -> None:
        manual = stream.noack()
        async for events in manual.noack_take(config.batch_size, within=config.batch_wait_ms / 1000):
            try:
                await handle(manual, events)
            except Exception as error:
                # What is not acknowledged by now is read again by the next start.
                log.critical("the worker stops: %s", _explain(error))
                await app.crash(error)
                return

    return app


async def rewind(app: faust.App) -> None:
    """
    Read all partitions again from their committed offsets, as Faust does after a rebalance.

    What was acknowledged since the last commit comes twice; what was dropped comes at last.
    """
    consumer: Any = app.consumer
    consumer.stop_flow()
    await consumer.wait_for_stopped_flow()
    consumer._gap.clear()  # a hole that is none would be committed over
    await consumer.perform_seek()
    app.flow_control.resume()  # empties the queues
    consumer.resume_flow()


def run_worker(
    config: WorkerConfig, pipeline_factory: PipelineFactory, *, clock: Callable[[], datetime] = utc_now
) -> NoReturn:
    """
    Create the topics, then judge until a signal comes. Takes over the process: it ends with SystemExit.

    0 after SIGTERM or SIGINT, 1 when the worker had to stop. Raises BrokerError
    before anything runs when the broker cannot be reached or the topics do not fit.
    """
    config.data_dir.mkdir(parents=True, exist_ok=True)
    partitions = _prepare_topics(config)
    app = create_app(replace(config, partitions=partitions), pipeline_factory, clock=clock)
    worker = faust.Worker(app, loglevel=config.log_level, redirect_stdouts=False, quiet=True)
    worker.execute_from_commandline()
    raise SystemExit(EXIT_FAILED)  # not reached: Faust exits by itself


@dataclass(frozen=True, slots=True)
class FaustTable:
    """A Faust table as the context sees it: reads and writes at once, the changelog by hand and awaited."""

    table: Any

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        value: bytes | None = self.table.data.data.get(key)
        return value

    def put(self, key: bytes, value: bytes | None) -> None:
        """Change the local value."""
        if value is None:
            self.table.data.data.pop(key, None)
        else:
            self.table.data.data[key] = value

    def publish(self, partition: int, key: bytes, value: bytes | None) -> Awaitable[object]:
        """Write to the changelog. Faust's own way does not wait for the broker."""
        sent: Awaitable[object] = self.table.send_changelog(partition, key, value)
        return sent


def _faust_app(config: WorkerConfig) -> faust.App:
    broker = as_broker(config.bootstrap)
    return faust.App(
        config.app_id,
        broker=[f"kafka://{server.strip()}" for server in broker.servers.split(",")],
        broker_credentials=_credentials(broker.security),
        store="memory://",
        datadir=str(config.data_dir),
        autodiscover=False,
        processing_guarantee="at_least_once",
        topic_partitions=config.partitions,
        topic_replication_factor=config.replication,
        topic_disable_leader=True,
        broker_commit_interval=config.commit_interval_ms / 1000,
        broker_session_timeout=config.session_timeout_sec,
        broker_heartbeat_interval=config.session_timeout_sec / 3,
        broker_max_poll_records=config.batch_size * 8,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_REQUEST_BYTES,
        producer_acks=-1,
        producer_max_request_size=MAX_REQUEST_BYTES,
        producer_request_timeout=config.delivery_timeout_sec,
        stream_wait_empty=False,
        # Its web pages would serve what customers wrote.
        web_enabled=False,
        web_tables_enabled=False,
    )


def _credentials(security: KafkaSecurity) -> Any:
    """The same in Faust's words; None for a broker without TLS and password."""
    if security.uses_sasl:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            ssl_context=security.ssl_context(),
            mechanism=security.mechanism,
        )
    return faust.SSLCredentials(security.ssl_context()) if security.uses_tls else None


def _raw_topic(app: faust.App, name: str) -> Any:
    return app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", internal=False
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


def conversations_moved(app_id: str, partitions: int, known: int) -> BrokerError:
    """What to raise when the messages have other partitions than the context."""
    return BrokerError(
        f"{MESSAGES} has {partitions} partitions but {context_spec(app_id, CONTEXT_TABLE, known).name} has "
        f"{known}: somebody added partitions, and conversations have moved. Stop all workers, delete the "
        "changelog topic (its context is read anew as messages come), and start again.",
        retryable=False,
    )


def _committed(app: faust.App, partition: int) -> int | None:
    consumer: Any = app.consumer  # Faust has no public way to ask without a request to the broker
    offset: int | None = consumer._committed_offset.get(TP(MESSAGES, partition))
    return offset


def _record(event: Any) -> Record:
    message = event.message
    return Record(Origin(message.topic, message.partition, message.offset), message.key, message.value)


def _log_dead(letters: Sequence[DeadLetter]) -> None:
    for letter in letters:
        log.warning(
            "dead letter: %s at %s[%d]@%d (%s, stack %s)",
            letter.reason,
            letter.topic,
            letter.partition,
            letter.offset,
            letter.detail,
            letter.stack_digest or "-",
        )


def _explain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the broker did not take the verdicts in time"
    return f"{type(error).__name__}: {error}"
