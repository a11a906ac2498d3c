"""Read a stretch of a topic from its beginning to its present end, once, without a consumer group."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.broker import Bootstrap, as_broker, require_broker
from streams.errors import BrokerError
from streams.origin import Origin
from streams.topics import MAX_REQUEST_BYTES

POLL_TIMEOUT_MS = 500
BOOTSTRAP_TIMEOUT_MS = 15_000
# A broker that gives nothing for so long, although there is more, is gone.
STALL_SEC = 60.0


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """A record with its place and the time that its producer gave it."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """The offsets of one partition from `start` up to `end`, which is not among them."""

    topic: str
    partition: int
    start: int
    end: int


class TopicReader:
    """
    One connection for reading stretches. A context manager.

    Raises BrokerError, also when a topic does not exist.
    """

    def __init__(self, bootstrap: Bootstrap) -> None:
        require_broker(bootstrap)
        self._bootstrap = bootstrap
        with self._translated():
            self._consumer = KafkaConsumer(
                **as_broker(bootstrap).client_options(),
                client_id="redline-reader",
                enable_auto_commit=False,
                # Where retention overtakes the reading, it goes on with what is left.
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=MAX_REQUEST_BYTES,
                bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
            )

    def stretches(
        self, topic: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[Stretch]:
        """
        What a topic holds now of a time, partition by partition.

        Producers' clocks are not in step: a stretch starts with the first record that is not
        older than `start` and ends before the first that is not older than `end`.
        """
        with self._translated():
            partitions = self._consumer.partitions_for_topic(topic)
            if not partitions:
                raise BrokerError(f"the topic {topic} does not exist at {self._bootstrap}", retryable=False)
            places = [TopicPartition(topic, number) for number in sorted(partitions)]
            first, last = self._consumer.beginning_offsets(places), self._consumer.end_offsets(places)
            starts = {**first, **self._offsets_at(places, start, last)} if start else first
            ends = {**last, **self._offsets_at(places, end, last)} if end else last
        return [Stretch(topic, place.partition, starts[place], ends[place]) for place in places]

    def read(self, stretches: Sequence[Stretch]) -> Iterator[TopicRecord]:
        """Every record of these stretches that is still there; in order within each."""
        left = {TopicPartition(s.topic, s.partition): s.end for s in stretches if s.start < s.end}
        with self._translated():
            self._consumer.assign(list(left))
            for stretch in stretches:
                place = TopicPartition(stretch.topic, stretch.partition)
                if place in left:
                    self._consumer.seek(place, stretch.start)
            heard = monotonic()
            while left:
                polled = self._consumer.poll(timeout_ms=POLL_TIMEOUT_MS)
                for place, records in polled.items():
                    heard = monotonic()
                    end = left.get(place, 0)
                    yield from (_record(record) for record in records if record.offset < end)
                done = [place for place, end in left.items() if self._consumer.position(place) >= end]
                for place in done:
                    del left[place]
                if done:
                    self._consumer.assign(list(left))
                if monotonic() - heard > STALL_SEC:
                    raise BrokerError(
                        f"the broker at {self._bootstrap} gives no more records", retryable=True
                    )

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close(autocommit=False)

    def __enter__(self) -> "TopicReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _offsets_at(
        self, places: Sequence[TopicPartition], moment: datetime, last: dict[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        found = self._consumer.offsets_for_times({place: int(moment.timestamp() * 1000) for place in places})
        return {place: at.offset if at is not None else last[place] for place, at in found.items()}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except KafkaError as error:
            raise BrokerError(f"the broker at {self._bootstrap}: {error}", retryable=True) from error


def _record(record: Any) -> TopicRecord:
    origin = Origin(record.topic, record.partition, record.offset)
    return TopicRecord(origin, record.key, record.value, datetime.fromtimestamp(record.timestamp / 1000, UTC))
