"""
Writes what passes on the broker into the event store: messages and verdicts.

Offsets move after the write, and the store takes repeats, so a sink that is killed
loses nothing. A store that is away for a while stops the sink from going on, not
the workers: the broker keeps what is to be written.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError, KafkaError

from streams.broker import require_broker
from streams.codec import decode_message, decode_verdict
from streams.dead_letters import BAD_VERDICT, dead_letter, encode_dead_letter
from streams.errors import BrokerError, InvalidMessage, StoreError
from streams.producer import MessageProducer
from streams.store.base import EventStore, Origin, StoredMessage, StoredVerdict
from streams.topics import DEAD_LETTERS, MAX_REQUEST_BYTES, MESSAGES, VERDICTS, ensure_topics, topic_specs

log = logging.getLogger(__name__)

POLL_TIMEOUT_MS = 100
BOOTSTRAP_TIMEOUT_MS = 15_000
FIRST_RETRY_SEC = 0.5
LONGEST_RETRY_SEC = 15.0


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """
    A batch is written when it has `max_batch` rows or is `max_batch_age_ms` old.

    `patience` is how long a store may be away before the sink gives up and ends.
    Stay below five minutes, or the broker takes the partitions away.
    """

    bootstrap: str
    group_id: str = "redline-sink"
    max_batch: int = 2_000
    max_batch_age_ms: int = 300
    patience: timedelta = timedelta(minutes=4)


@dataclass(slots=True)
class SinkReport:
    """What a run wrote. `skipped` are records that are no messages: the worker dead-letters those."""

    messages: int = 0
    verdicts: int = 0
    skipped: int = 0
    dead: int = 0


@dataclass(slots=True)
class _Buffer:
    messages: list[StoredMessage] = field(default_factory=list)
    verdicts: list[StoredVerdict] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    since: datetime | None = None

    def __len__(self) -> int:
        return len(self.messages) + len(self.verdicts)


class Sink:
    """
    One consumer of messages and verdicts, with its buffer.

    `run` goes on until `stop` is set, then writes what it holds. Raises StoreError
    when the store refuses or stays away, BrokerError when the broker does; nothing
    that was not written is committed then.
    """

    def __init__(self, config: SinkConfig, store: EventStore, *, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._buffer = _Buffer()
        self.report = SinkReport()
        self._dead_letters: MessageProducer | None = None
        require_broker(config.bootstrap)
        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=config.bootstrap,
                group_id=config.group_id,
                client_id="redline-sink",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_poll_records=config.max_batch,
                max_partition_fetch_bytes=MAX_REQUEST_BYTES,
                bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
            )
        except KafkaError as error:
            raise BrokerError(
                f"no Kafka broker answers at {config.bootstrap} ({error})", retryable=True
            ) from error

    def run(self, stop: threading.Event) -> SinkReport:
        """Write until `stop` is set; returns what was written."""
        try:
            self._consumer.subscribe(
                [MESSAGES, VERDICTS], listener=_FlushBeforeRevoke(self._flush_and_forget)
            )
            while not stop.is_set():
                for records in self._consumer.poll(timeout_ms=POLL_TIMEOUT_MS).values():
                    self._take(records)
                if self._due():
                    self._flush(stop)
            self._flush(stop)
        except KafkaError as error:
            raise BrokerError(f"the sink lost the broker: {error}", retryable=True) from error
        finally:
            self._consumer.close(autocommit=False)
            if self._dead_letters is not None:
                self._dead_letters.close()
        return self.report

    def _take(self, records: Iterable[Any]) -> None:
        for record in records:
            origin = Origin(record.topic, record.partition, record.offset)
            if record.topic == MESSAGES:
                self._take_message(record, origin)
            else:
                self._take_verdict(record, origin)
            self._buffer.offsets[TopicPartition(record.topic, record.partition)] = record.offset + 1
            self._buffer.since = self._buffer.since or self._clock()

    def _take_message(self, record: Any, origin: Origin) -> None:
        try:
            self._buffer.messages.append(StoredMessage(decode_message(record.value or b""), origin))
        except InvalidMessage:
            self.report.skipped += 1

    def _take_verdict(self, record: Any, origin: Origin) -> None:
        try:
            self._buffer.verdicts.append(StoredVerdict(decode_verdict(record.value or b""), origin))
        except InvalidMessage as error:
            self._send_dead_letter(record, origin, error)

    def _due(self) -> bool:
        since = self._buffer.since
        if since is None:
            return False
        age = self._clock() - since
        return len(self._buffer) >= self._config.max_batch or age >= timedelta(
            milliseconds=self._config.max_batch_age_ms
        )

    def _flush(self, stop: threading.Event | None = None) -> None:
        if self._buffer.since is None:
            return
        self._write(stop or threading.Event())
        offsets = {
            partition: OffsetAndMetadata(offset, "", -1) for partition, offset in self._buffer.offsets.items()
        }
        self.report.messages += len(self._buffer.messages)
        self.report.verdicts += len(self._buffer.verdicts)
        self._buffer = _Buffer()
        try:
            self._consumer.commit(offsets)
        except CommitFailedError:
            log.warning(
                "the partitions went to another sink before the commit; it writes the same rows again"
            )

    def _flush_and_forget(self) -> None:
        self._flush()

    def _write(self, stop: threading.Event) -> None:
        deadline = self._clock() + self._config.patience
        wait_sec = FIRST_RETRY_SEC
        while True:
            try:
                # Messages first: whoever sees a verdict finds its message.
                self._store.write_messages(self._buffer.messages)
                self._store.write_verdicts(self._buffer.verdicts)
                return
            except StoreError as error:
                if not error.retryable or stop.is_set() or self._clock() > deadline:
                    raise
                log.warning("the store is away, trying again in %.1f s: %s", wait_sec, error)
            stop.wait(wait_sec)
            wait_sec = min(wait_sec * 2, LONGEST_RETRY_SEC)

    def _send_dead_letter(self, record: Any, origin: Origin, error: InvalidMessage) -> None:
        letter = dead_letter(
            error,
            reason=BAD_VERDICT,
            topic=origin.topic,
            partition=origin.partition,
            offset=origin.offset,
            key=record.key,
            original=record.value,
            at=self._clock(),
        )
        if self._dead_letters is None:
            self._dead_letters = MessageProducer(self._config.bootstrap, topic=DEAD_LETTERS)
        self._dead_letters.send_bytes(
            f"{origin.topic}@{origin.offset}", record.key, encode_dead_letter(letter)
        )
        if not self._dead_letters.report().ok:
            raise BrokerError("the broker did not take a dead letter", retryable=True)
        self.report.dead += 1
        log.warning("verdict at %s[%d]@%d cannot be read", origin.topic, origin.partition, origin.offset)


class _FlushBeforeRevoke(ConsumerRebalanceListener):  # type: ignore[misc]
    """Writes the buffer while the partitions are still ours."""

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush

    def on_partitions_revoked(self, revoked: object) -> None:
        self._flush()

    def on_partitions_assigned(self, assigned: object) -> None:
        return


def run_sink(
    config: SinkConfig, store: EventStore, *, stop: threading.Event, clock: Callable[[], datetime]
) -> SinkReport:
    """Create the topics where they are missing, then write until `stop` is set."""
    ensure_topics(config.bootstrap, topic_specs())
    return Sink(config, store, clock=clock).run(stop)
