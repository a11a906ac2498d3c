"""The sink's place in its consumer group, and how to tell that the group has forgotten it."""

from time import monotonic
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from streams.broker import Bootstrap, as_broker, not_let_in, require_broker
from streams.topics import MAX_REQUEST_BYTES, METADATA_MAX_AGE_MS

BOOTSTRAP_TIMEOUT_MS = 15_000
SESSION_TIMEOUT_MS = 10_000
LONGEST_RECONNECT_MS = 3_000


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
