"""
How fast can Python read the topic at all? Each client only fetches and decodes JSON; the fastest counts.

The clock of each starts with its first batch, so that connecting does not count.
"""

import asyncio
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import orjson
from aiokafka import AIOKafkaConsumer
from kafka import KafkaConsumer, TopicPartition

from streams.topics import MESSAGES

BATCH = 500


class _Pace:
    """Counts from the first batch, which is not counted itself."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._seen, self._first = 0, 0
        self._began = self._now = 0.0

    @property
    def wants_more(self) -> bool:
        return self._seen < self._wanted

    def count(self, number: int) -> None:
        if not number:
            return
        self._seen, self._now = self._seen + number, time.perf_counter()
        if not self._began:
            self._began, self._first = self._now, number

    @property
    def per_second(self) -> float:
        return (self._seen - self._first) / max(1e-6, self._now - self._began)


def with_aiokafka(bootstrap: str, wanted: int) -> float:
    """Messages per second of `getmany`."""
    return asyncio.run(_aiokafka(bootstrap, wanted))


async def _aiokafka(bootstrap: str, wanted: int) -> float:
    consumer = AIOKafkaConsumer(MESSAGES, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    pace = _Pace(wanted)
    try:
        while pace.wants_more:
            for records in (await consumer.getmany(timeout_ms=500, max_records=BATCH)).values():
                for record in records:
                    orjson.loads(record.value)
                pace.count(len(records))
    finally:
        await consumer.stop()
    return pace.per_second


def with_kafka_python(bootstrap: str, wanted: int) -> float:
    """Messages per second of `poll`."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, max_poll_records=BATCH)
    places = [TopicPartition(MESSAGES, number) for number in consumer.partitions_for_topic(MESSAGES)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    for place in places:
        consumer.position(place)
    pace = _Pace(wanted)
    try:
        while pace.wants_more:
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    orjson.loads(record.value)
                pace.count(len(records))
    finally:
        consumer.close()
    return pace.per_second


def with_confluent(bootstrap: str, wanted: int) -> float:
    """Messages per second of librdkafka's `consume`. Needs confluent-kafka, which redline itself does not."""
    confluent = import_module("confluent_kafka")
    consumer = confluent.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "bare", "enable.auto.commit": False}
    )
    partitions = consumer.list_topics(MESSAGES, timeout=30).topics[MESSAGES].partitions
    consumer.assign(
        [confluent.TopicPartition(MESSAGES, number, confluent.OFFSET_BEGINNING) for number in partitions]
    )
    pace = _Pace(wanted)
    try:
        while pace.wants_more:
            records = [record for record in consumer.consume(BATCH, timeout=0.5) if record.error() is None]
            for record in records:
                orjson.loads(record.value())
            pace.count(len(records))
    finally:
        consumer.close()
    return pace.per_second


CLIENTS: dict[str, Callable[[str, int], float]] = {
    "aiokafka": with_aiokafka,
    "kafka-python": with_kafka_python,
    "confluent-kafka": with_confluent,
}


def installed() -> dict[str, Callable[[str, int], float]]:
    """The clients that can be measured here."""
    modules = {"aiokafka": "aiokafka", "kafka-python": "kafka", "confluent-kafka": "confluent_kafka"}
    return {name: client for name, client in CLIENTS.items() if find_spec(modules[name]) is not None}
