"""
Writes what passes on the broker into the event store: messages, verdicts, dead letters, reviews, the ledger.

Offsets move after the write, and the store takes repeats, so a sink that is killed
loses nothing. While the store is away the sink reads no further and keeps its place in the
group: the broker keeps what is to be written, only the lag grows, and nothing here does.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError, KafkaError

from streams.broker import Bootstrap
from streams.codec import decode_message, decode_verdict
from streams.dead_letter_events import DeadLetterEvent, decode_dlq_record, event_of_letter
from streams.dead_letters import BAD_VERDICT, DeadLetter, dead_letter, encode_dead_letter
from streams.errors import BrokerError, InvalidMessage, StoreError
from streams.ledger import LedgerRecord, decode_ledger_record
from streams.metrics import SinkMetrics
from streams.origin import Origin
from streams.producer import MessageProducer
from streams.reviews import Review, decode_review
from streams.sink_consumer import FlushBeforeRevoke, RetentionWatch, connect, silence_sec
from streams.sink_vitals import SinkPulse, SinkVitals
from streams.status_server import serving_status
from streams.store.base import EventStore, StoredMessage, StoredVerdict
from streams.topics import (
    BROKER_DEFAULT,
    DEAD_LETTERS,
    DEFAULT_PARTITIONS,
    MESSAGES,
    MODELS,
    REVIEWS,
    SINK_GROUP,
    VERDICTS,
    ensure_topics,
    topic_specs,
)
from streams.vitals import HealthPolicy

log = logging.getLogger(__name__)

POLL_TIMEOUT_MS = 100
FIRST_RETRY = timedelta(seconds=0.5)
LONGEST_RETRY = timedelta(seconds=15)
PULSE = timedelta(seconds=5)
PULSE_TIMEOUT_MS = 2_000
# Several session timeouts: a rebalance, during which there are no heartbeats, is over by then.
FORGOTTEN_SEC = 60.0
TOPICS = (MESSAGES, VERDICTS, DEAD_LETTERS, REVIEWS, MODELS)
BAD_RECORD = "bad_record"


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """
    A batch is written when it has `max_batch` rows or is `max_batch_age_ms` old.

    `patience` is how long a store may be away before the sink gives up and ends; without
    it the sink waits as long as it takes. `partitions` and `replication` count only when
    the topics are created. `status` is where /health and /metrics are
    answered (host, port), None for nowhere.
    """

    bootstrap: Bootstrap
    group_id: str = SINK_GROUP
    max_batch: int = 2_000
    max_batch_age_ms: int = 300
    patience: timedelta | None = None
    partitions: int = DEFAULT_PARTITIONS
    replication: int = BROKER_DEFAULT
    health: HealthPolicy = field(default_factory=HealthPolicy)
    status: tuple[str, int] | None = None


@dataclass(slots=True)
class SinkReport:
    """
    What a run wrote. `letters` counts dead letters and notes on them.

    `skipped` are records that are no messages (the worker dead-letters those) or no dead
    letters. `dead` are verdicts, reviews and ledger records that cannot be read: dead-lettered here.
    """

    messages: int = 0
    verdicts: int = 0
    letters: int = 0
    reviews: int = 0
    ledger: int = 0
    skipped: int = 0
    dead: int = 0


@dataclass(slots=True)
class _Buffer:
    messages: list[StoredMessage] = field(default_factory=list)
    verdicts: list[StoredVerdict] = field(default_factory=list)
    letters: list[DeadLetterEvent] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    ledger: list[LedgerRecord] = field(default_factory=list)
    firsts: dict[TopicPartition, int] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    since: datetime | None = None

    def rows(self) -> dict[str, int]:
        """How many of each kind."""
        return {
            "messages": len(self.messages),
            "verdicts": len(self.verdicts),
            "letters": len(self.letters),
            "reviews": len(self.reviews),
            "ledger": len(self.ledger),
        }

    def __len__(self) -> int:
        return sum(self.rows().values())


@dataclass(slots=True)
class _Outage:
    """The store is away: since when, and when to try again."""

    since: datetime
    wait: timedelta
    again: datetime


class Sink:
    """
    One consumer of everything that is stored, with its buffer.

    `run` goes on until `stop` is set, then writes what it holds. Raises StoreError
    when the store refuses, stays away past the patience or is away at the end, BrokerError
    when the broker is gone; nothing that was not written is committed then.
    """

    def __init__(self, config: SinkConfig, store: EventStore, *, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._buffer = _Buffer()
        self._outage: _Outage | None = None
        self._pulse = SinkPulse(datetime.min.replace(tzinfo=UTC))
        self._broker_answers = True
        self._retention = RetentionWatch()
        self.report = SinkReport()
        self.vitals = SinkVitals(config.health, clock)
        self.metrics = SinkMetrics()
        self._dead_letters: MessageProducer | None = None
        self._answers_since = monotonic()
        self._consumer = self._connect()

    def run(self, stop: threading.Event) -> SinkReport:
        """Write until `stop` is set; returns what was written."""
        try:
            self._subscribe()
            while not stop.is_set():
                if self._outage is not None and self._buffer.since is not None:
                    # Polling goes on, or the broker would give the partitions to another sink.
                    self._consumer.pause(*self._consumer.assignment())
                for place, records in self._consumer.poll(timeout_ms=POLL_TIMEOUT_MS).items():
                    first, last = records[0].offset, records[-1].offset
                    deleted = self._retention.deleted_before(self._consumer, place, first, last)
                    self.metrics.count_deleted(place.topic, deleted)
                    self._take(records)
                if self._due():
                    self._try_to_flush()
                if self._clock() - self._pulse.at >= PULSE:
                    self._feel_pulse()
                    if self._is_forgotten():
                        self._join_anew()
            self._flush()
        except KafkaError as error:
            raise BrokerError(f"the sink lost the broker: {error}", retryable=True) from error
        finally:
            self._consumer.close(autocommit=False)
            if self._dead_letters is not None:
                self._dead_letters.close()
        return self.report

    def _connect(self) -> KafkaConsumer:
        return connect(self._config.bootstrap, self._config.group_id, max_records=self._config.max_batch)

    def _subscribe(self) -> None:
        moved = FlushBeforeRevoke(self._flush_or_forget, self._retention.forget)
        self._consumer.subscribe(list(TOPICS), listener=moved)

    def _is_forgotten(self) -> bool:
        """The broker answers, but the group does not: a pause while it was away does not count."""
        silent = min(silence_sec(self._consumer), monotonic() - self._answers_since)
        return self._broker_answers and silent > FORGOTTEN_SEC

    def _join_anew(self) -> None:
        log.warning("the group %s has forgotten this sink; joining it anew", self._config.group_id)
        # Not committed: they come again.
        self._buffer = _Buffer()
        self._consumer.close(autocommit=False, timeout_ms=PULSE_TIMEOUT_MS)
        self._consumer = self._connect()
        self._subscribe()

    def _take(self, records: Iterable[Any]) -> None:
        for record in records:
            origin = Origin(record.topic, record.partition, record.offset)
            place = TopicPartition(record.topic, record.partition)
            self._buffer.firsts.setdefault(place, record.offset)
            try:
                self._decode(record, origin)
            except InvalidMessage as error:
                # What is no message, the worker dead-letters; what is no dead letter never was one.
                if record.topic in (MESSAGES, DEAD_LETTERS):
                    self.report.skipped += 1
                else:
                    self._send_dead_letter(record, origin, error)
                self.metrics.count_unreadable(dead_lettered=record.topic not in (MESSAGES, DEAD_LETTERS))
            self._buffer.offsets[place] = record.offset + 1
            self._buffer.since = self._buffer.since or self._clock()

    def _decode(self, record: Any, origin: Origin) -> None:
        value, buffer = record.value or b"", self._buffer
        if record.topic == MESSAGES:
            buffer.messages.append(StoredMessage(decode_message(value), origin))
        elif record.topic == VERDICTS:
            buffer.verdicts.append(StoredVerdict(decode_verdict(value), origin))
        elif record.topic == DEAD_LETTERS:
            letter = decode_dlq_record(value)
            buffer.letters.append(event_of_letter(letter) if isinstance(letter, DeadLetter) else letter)
        elif record.topic == REVIEWS:
            buffer.reviews.append(decode_review(value))
        else:
            buffer.ledger.append(decode_ledger_record(value))

    def _due(self) -> bool:
        since, now = self._buffer.since, self._clock()
        if since is None:
            return False
        if self._outage is not None:
            return now >= self._outage.again
        age = timedelta(milliseconds=self._config.max_batch_age_ms)
        return len(self._buffer) >= self._config.max_batch or now - since >= age

    def _try_to_flush(self) -> None:
        try:
            self._flush()
        except StoreError as error:
            now = self._clock()
            outage = self._outage or _Outage(now, FIRST_RETRY, now)
            patience = self._config.patience
            if not error.retryable or (patience is not None and now - outage.since > patience):
                raise
            self._outage = _Outage(outage.since, min(outage.wait * 2, LONGEST_RETRY), now + outage.wait)
            self.vitals.store_away(outage.since)
            log.warning(
                "the store is away, %d rows wait and nothing more is read; trying again in %.1f s: %s",
                len(self._buffer),
                outage.wait.total_seconds(),
                error,
            )
        else:
            if self._outage is not None:
                log.warning("the store is back after %s", self._clock() - self._outage.since)
                self._outage = None
                self.vitals.store_away(None)
                self._consumer.resume(*self._consumer.assignment())

    def _flush(self) -> None:
        buffer = self._buffer
        if buffer.since is None:
            return
        began = monotonic()
        # Messages first: whoever sees a verdict finds its message.
        self._store.write_messages(buffer.messages)
        self._store.write_verdicts(buffer.verdicts)
        self._store.write_dead_letters(buffer.letters)
        self._store.write_reviews(buffer.reviews)
        self._store.write_ledger(buffer.ledger)
        report = self.report
        report.messages += len(buffer.messages)
        report.verdicts += len(buffer.verdicts)
        report.letters += len(buffer.letters)
        report.reviews += len(buffer.reviews)
        report.ledger += len(buffer.ledger)
        offsets = {place: OffsetAndMetadata(offset, "", -1) for place, offset in buffer.offsets.items()}
        self._buffer = _Buffer()
        try:
            self._consumer.commit(offsets)
        except CommitFailedError:
            log.warning(
                "the partitions went to another sink before the commit; it writes the same rows again"
            )
        self.vitals.wrote()
        self.metrics.count_write(buffer.rows(), self._clock().timestamp(), monotonic() - began)

    def _feel_pulse(self) -> None:
        """What waits on the broker, and does it answer? While it does not, polling goes on."""
        now, before = self._clock(), self._pulse
        places = self._consumer.assignment()
        lag, heard_at = before.lag, before.heard_at
        # Without a partition of its own it asks for any.
        asked = list(places) or [TopicPartition(MESSAGES, 0)]
        try:
            ends = self._consumer.end_offsets(asked, timeout_ms=PULSE_TIMEOUT_MS)
            starts = {place: self._first_not_written(place) for place in places}
            lag = {
                (place.topic, place.partition): max(0, end - start)
                for place, end in ends.items()
                if (start := starts.get(place)) is not None
            }
            heard_at = self._clock()
            if not self._broker_answers:
                log.warning("the broker answers again")
                self._answers_since = monotonic()
            self._broker_answers = True
        except KafkaError as error:
            if self._broker_answers:
                log.warning(
                    "the broker at %s does not answer, asking again: %s", self._config.bootstrap, error
                )
            self._broker_answers = False
        self._pulse = SinkPulse(now, lag, heard_at)
        self.vitals.feel(self._pulse)
        self.metrics.show_lag(lag)
        outage = self._outage
        self.metrics.show_store_away(0.0 if outage is None else (now - outage.since).total_seconds())

    def _first_not_written(self, place: TopicPartition) -> int | None:
        held = self._buffer.firsts.get(place)
        if held is not None:
            return held
        known: int | None = self._consumer.position(place, timeout_ms=PULSE_TIMEOUT_MS)
        return known

    def _flush_or_forget(self) -> None:
        """Before partitions go: write, or leave the rows to whoever reads them next."""
        try:
            self._flush()
        except StoreError as error:
            log.warning("the store is away while partitions move; their rows are read again: %s", error)
            firsts, self._buffer = self._buffer.firsts, _Buffer()
            held = self._consumer.assignment()
            for place, offset in firsts.items():
                if place in held:
                    self._consumer.seek(place, offset)
            self._consumer.resume(*held)  # without rows nothing would show that the store is back

    def _send_dead_letter(self, record: Any, origin: Origin, error: InvalidMessage) -> None:
        letter = dead_letter(
            error,
            reason=BAD_VERDICT if origin.topic == VERDICTS else BAD_RECORD,
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
            f"{origin.topic}@{origin.offset}", letter.key, encode_dead_letter(letter)
        )
        if not self._dead_letters.report().ok:
            raise BrokerError("the broker did not take a dead letter", retryable=True)
        self.report.dead += 1
        log.warning("%s cannot be read: dead-lettered", origin)


def run_sink(
    config: SinkConfig, store: EventStore, *, stop: threading.Event, clock: Callable[[], datetime]
) -> SinkReport:
    """Create the topics where they are missing, then write until `stop` is set, with /health and /metrics beside it."""
    ensure_topics(config.bootstrap, topic_specs(config.partitions), replication=config.replication)
    sink = Sink(config, store, clock=clock)
    with ExitStack() as beside:
        if config.status is not None:
            host, port = config.status
            beside.enter_context(
                serving_status(host, port, health=sink.vitals.health, registry=sink.metrics.registry)
            )
        return sink.run(stop)
