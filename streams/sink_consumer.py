"""The sink's place in its consumer group, and how to tell that the group or the broker has lost something of it."""

import logging
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.broker import Bootstrap, as_broker, not_let_in, require_broker
from streams.topics import MAX_REQUEST_BYTES, METADATA_MAX_AGE_MS

log = logging.getLogger(__name__)

BOOTSTRAP_TIMEOUT_MS = 15_000
SESSION_TIMEOUT_MS = 10_000
LONGEST_RECONNECT_MS = 3_000
ASK_TIMEOUT_MS = 2_000


def connect(bootstrap: Bootstrap, group_id: str, *, max_records: int) -> KafkaConsumer:
    """A consumer that has not subscribed yet. Raises BrokerError."""
    require_broker(bootstrap)
    try:
        return KafkaConsumer(
            **as_broker(bootstrap).client_options(),
            group_id=group_id,
            client_id="redline-sink",
            # A sink that was killed is missed after so long; heartbeats go on during a long write.
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
            # By default a client that was turned away for long asks only every half minute.
            reconnect_backoff_max_ms=LONGEST_RECONNECT_MS,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=max_records,
            max_partition_fetch_bytes=MAX_REQUEST_BYTES,
            bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
    except KafkaError as error:
        raise not_let_in(bootstrap, error) from error


def silence_sec(consumer: KafkaConsumer) -> float:
    """
    For how long the group has answered no heartbeat of this consumer.

    Around a restart of the broker kafka-python can lose its heartbeat for good: the group forgets the
    consumer, which believes that it still belongs to it and never asks for partitions again.
    """
    heartbeat: Any = consumer._coordinator.heartbeat  # there is no public way to see it
    return monotonic() - float(max(heartbeat.last_receive, heartbeat.last_reset))


class RetentionWatch:
    """
    Tells, with an error in the log, what the broker deleted before the sink came to it.

    The consumer itself goes on silently with what is left.
    """

    def __init__(self) -> None:
        self._next: dict[TopicPartition, int] = {}

    def forget(self) -> None:
        """Partitions have moved: another sink may have gone on with them."""
        self._next.clear()

    def deleted_before(self, consumer: KafkaConsumer, place: TopicPartition, first: int, last: int) -> int:
        """How many offsets were deleted before these records, from `first` to `last`, which were read next."""
        expected = self._next.get(place)
        self._next[place] = last + 1
        try:
            if expected is None:
                expected = consumer.committed(place, timeout_ms=ASK_TIMEOUT_MS)
            if expected is None or not 0 <= expected < first:
                return 0
            held = consumer.beginning_offsets([place], timeout_ms=ASK_TIMEOUT_MS)[place]
        except KafkaError as error:  # the sink goes on, and nobody asks again
            log.error(
                "%s[%d]: whether offsets before %d were deleted before a sink stored them could not be asked (%s)",
                *(place.topic, place.partition, first, type(error).__name__),
            )
            return 0
        # What is not deleted never was a record: compaction, or the marker of a transaction.
        deleted = range(expected, min(held, first))
        if deleted:
            log.error(
                "%s[%d]: the broker deleted offsets %d to %d before a sink stored them, and nobody will: the sinks "
                "were behind for longer than the topic's retention. Where they were messages or verdicts, send the "
                "messages of that time again: they are judged and stored once more",
                *(place.topic, place.partition, deleted.start, deleted.stop - 1),
            )
        return len(deleted)


class FlushBeforeRevoke(ConsumerRebalanceListener):  # type: ignore[misc]
    """Writes the buffer while the partitions are still ours; then others go on with them."""

    def __init__(self, flush: Callable[[], None], forget: Callable[[], None]) -> None:
        self._flush = flush
        self._forget = forget

    def on_partitions_revoked(self, revoked: object) -> None:
        self._flush()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._forget()
        names = [f"{place.topic}[{place.partition}]" for place in sorted(assigned)]
        log.info("the sink reads %s", ", ".join(names) or "nothing yet: it has no partition")
