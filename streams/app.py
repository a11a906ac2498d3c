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
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NoReturn, cast

import faust
from faust.types import TP

from streams.batch import BatchJudge, BatchResult, Record
from streams.broker import as_broker
from streams.continuity import Arrival, Continuity, StallWatch
from streams.dead_letters import DeadLetter, DeadLetterWindow, encode_dead_letter
from streams.engine import CONTEXT_TABLE, Gauges, PipelineFactory, WorkerConfig, conversations_moved
from streams.faust_consumer import use_eager_consumer
from streams.faust_recovery import end_only_the_latest_rebalance, rewind
from streams.origin import Origin
from streams.security import KafkaSecurity
from streams.settling import ConversationWait, Settling
from streams.table_context import TableContext
from streams.topics import (
    DEAD_LETTERS,
    MAX_REQUEST_BYTES,
    MESSAGES,
    METADATA_MAX_AGE_MS,
    VERDICTS,
    context_spec,
)
from streams.vitals import Pulse

log = logging.getLogger(__name__)

EXIT_FAILED = 1
BATCHES_AHEAD = 16
PULSE_SEC = 2.0
STALL_CHECK_SEC = 10.0


def create_app(
    config: WorkerConfig, pipeline_factory: PipelineFactory, *, clock: Callable[[], datetime], gauges: Gauges
) -> faust.App:
    """
    The Faust app with its one agent. Connects to nothing yet.

    The topics must exist with `config.partitions` partitions: `run_worker` sees to that.
    """
    app = _faust_app(config)
    use_eager_consumer(app)
    end_only_the_latest_rebalance(app)
    messages = _raw_topic(app, MESSAGES)
    verdicts = _raw_topic(app, VERDICTS)
    dead_letters = _raw_topic(app, DEAD_LETTERS)

    async def on_changelog_event(event: Any) -> None:
        context.remember(event.key, event.value, event.message.partition)

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
        limits=config.context,
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
    wait = ConversationWait(timedelta(seconds=config.delivery_timeout_sec), clock)
    changelog = context_spec(config.app_id, CONTEXT_TABLE, config.partitions).name
    settling = Settling(app, changelog, continuity, wait, ask_sec=config.delivery_timeout_sec)

    async def on_revoked(_: Any, revoked: Any, **__: Any) -> None:
        gone = [tp.partition for tp in revoked if tp.topic == MESSAGES]
        continuity.forget(gone)
        context.disown(gone)

    app.on_partitions_revoked.connect(cast(Any, on_revoked))

    async def reread(why: str) -> None:
        if app.rebalancing:
            return  # Faust is about to go back to the committed offsets by itself
        log.warning("%s: reading again from the last committed offset", why)
        # If it hangs, a restart does the same and is seen.
        await asyncio.wait_for(rewind(app, MESSAGES), timeout=config.delivery_timeout_sec)

    async def in_order(
        stream: Any, events: Sequence[Any]
    ) -> tuple[list[Any], list[str], list[tuple[TP, range]]]:
        """
        The records to judge now, why to read again after that, if so, and what is passed over.

        The others are done, come again or are another worker's.
        """
        taken, again = [], []
        holes: list[tuple[TP, range]] = []
        for event in events:
            if event.message.tp not in app.consumer.assignment():
                continue
            partition, offset = event.message.partition, event.message.offset
            expected = continuity.expected(partition)
            if expected is None:
                continue  # just taken away
            arrival = continuity.arrive(partition, offset)
            if arrival is Arrival.REWIND:
                again.append(f"{MESSAGES}[{partition}] gave offset {offset} where {expected} was due")
            elif arrival is Arrival.TAKE_OVER_HOLE:
                await cast(Any, app.consumer)._add_gap(event.message.tp, expected, offset - 1)
                holes.append((event.message.tp, range(expected, offset)))
            elif arrival is Arrival.DONE:
                await stream.ack(event)
            if arrival in (Arrival.TAKE, Arrival.TAKE_OVER_HOLE):
                taken.append(event)
        return taken, again, holes

    async def tell_deleted(tp: TP, hole: range) -> None:
        """What of a hole retention took before anybody judged it. After the batch: it waits for the broker."""
        try:
            asked = app.consumer.earliest_offsets(tp)
            first = (await asyncio.wait_for(asked, timeout=config.delivery_timeout_sec))[tp]
        except Exception as error:  # the worker goes on, and nobody asks again
            log.error(
                "%s[%d] holds nothing from offset %d to %d; whether it was deleted could not be asked (%s)",
                *(tp.topic, tp.partition, hole.start, hole.stop - 1, type(error).__name__),
            )
            return
        # What is not deleted never was a message: compaction, or the marker of a transaction.
        if deleted := range(hole.start, min(first, hole.stop)):
            log.error(
                "%s[%d]: the broker deleted offsets %d to %d before anybody judged them, and nobody will: the "
                "workers were behind for longer than the topic's retention. Send these messages again",
                *(tp.topic, tp.partition, deleted.start, deleted.stop - 1),
            )
            gauges.vitals.deleted(len(deleted))
            gauges.metrics.count_deleted(len(deleted))

    async def look_for_stalls() -> None:
        consumer: Any = app.consumer
        if app.rebalancing or not consumer.flow_active:
            return
        positions = {
            tp.partition: await consumer.position(tp) or 0
            for tp in consumer.assignment()
            if tp.topic == MESSAGES
        }
        await settling.learn_beginnings(positions)
        for partition in stalls.stalled(positions):
            await reread(f"{MESSAGES}[{partition}] was fetched but nothing arrives")

    app.timer(STALL_CHECK_SEC)(look_for_stalls)

    async def feel_pulse() -> None:
        pulse = take_pulse(app, clock(), continuity, wait.partitions)
        gauges.vitals.feel(pulse)
        gauges.metrics.show_lag(pulse.lag)

    app.timer(PULSE_SEC)(feel_pulse)

    async def handle(stream: Any, arrived: Sequence[Any]) -> None:
        events, again, holes = await in_order(stream, arrived)
        try:
            if events:
                await judge_and_deliver(stream, events)
        finally:  # it may raise when the records are acknowledged already
            for tp, hole in holes:
                await tell_deleted(tp, hole)
        if again:
            await reread("; ".join(again))

    async def judge_and_deliver(stream: Any, events: Sequence[Any]) -> None:
        began = monotonic()
        result = judge.judge([_record(event) for event in events])
        await asyncio.wait_for(deliver(result), timeout=config.delivery_timeout_sec)
        for event in events:
            await stream.ack(event)
        _log_dead(result.dead)
        gauges.vitals.done(result.verdicts[-1].judged_by if result.verdicts else None)
        now = clock().timestamp()
        gauges.metrics.count_batch(
            Counter(verdict.outcome for verdict in result.verdicts),
            Counter(letter.reason for letter in result.dead),
            [now - event.message.timestamp for event in events],
            monotonic() - began,
        )
        window.count(seen=len(events), failed=len(result.dead))

    at_work = asyncio.Lock()

    async def finish_batch(*_: Any, **__: Any) -> None:
        """Faust has stopped the flow and will now cancel the agent wherever it is."""
        async with at_work:
            consumer = cast(Any, app.consumer)
            if not await consumer.commit():
                # It only waited for a commit under way, from before the last batch.
                await consumer.commit()

    app.on_before_shutdown.connect(cast(Any, finish_batch))

    @app.agent(messages, name="judge", concurrency=1)
    async def judge_messages(stream: Any) -> None:
        manual = stream.noack()
        async for events in manual.noack_take(config.batch_size, within=config.batch_wait_ms / 1000):
            try:
                partitions = {event.message.partition for event in events}
                if (last := max(partitions)) >= config.partitions:
                    raise conversations_moved(config.app_id, last + 1, config.partitions)
                await settling.settled(partitions)
                async with at_work:
                    await handle(manual, events)
            except Exception as error:
                # What is not acknowledged by now is read again by the next start.
                log.critical("the worker stops: %s", _explain(error))
                await app.crash(error)
                return

    return app


def take_pulse(
    app: faust.App, now: datetime, continuity: Continuity, without_conversations: tuple[int, ...]
) -> Pulse:
    """How much waits, as the broker's last answers tell, and when it answered last."""
    inner: Any = cast(Any, app.consumer)._thread._consumer  # Faust shows none of this
    mine = [tp for tp in app.consumer.assignment() if tp.topic == MESSAGES]
    lag: dict[int, int] = {}
    heard_ms = 0
    for tp in mine:
        if tp not in inner.assignment():
            continue  # it is moving right now
        end, next_offset = inner.highwater(tp), continuity.expected(tp.partition)
        lag[tp.partition] = max(0, (end or 0) - (next_offset or 0)) if end is not None else 0
        heard_ms = max(heard_ms, inner.last_poll_timestamp(tp) or 0)
    heard_at = datetime.fromtimestamp(heard_ms / 1000, UTC) if heard_ms else None
    return Pulse(now, lag, heard_at, without_conversations)


def run_faust(
    config: WorkerConfig, pipeline_factory: PipelineFactory, *, clock: Callable[[], datetime], gauges: Gauges
) -> NoReturn:
    """The Faust engine; see `streams.engine.Engine`."""
    app = create_app(config, pipeline_factory, clock=clock, gauges=gauges)
    worker = faust.Worker(app, loglevel=config.log_level, redirect_stdouts=False, quiet=True)
    worker.spinner = None  # it would write control characters into the log
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
        # `run_worker` has made every topic; Faust knows no "as the cluster says".
        topic_replication_factor=max(1, config.replication),
        topic_disable_leader=True,
        broker_commit_interval=config.commit_interval_ms / 1000,
        broker_session_timeout=config.session_timeout_sec,
        broker_heartbeat_interval=config.session_timeout_sec / 3,
        broker_max_poll_records=config.batch_size * BATCHES_AHEAD,
        # Whoever gets a partition reads its conversations back whole: a copy elsewhere would be of no use.
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_REQUEST_BYTES,
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        producer_acks=-1,
        producer_max_request_size=MAX_REQUEST_BYTES,
        producer_request_timeout=config.delivery_timeout_sec,
        stream_wait_empty=False,
        # What is fetched and waits is bounded: past it the broker is not asked for more.
        stream_buffer_maxsize=config.batch_size * BATCHES_AHEAD,
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
