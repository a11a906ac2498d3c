"""Processes, senders and watchers for the stream benchmarks."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from detectors.domain import Message
from streams.codec import encode_message
from streams.topics import MESSAGES, VERDICTS

PATIENCE_SEC = 600.0
# The middle of a run: neither the start of processes nor the last, half-filled batches count.
FROM, TO = 0.2, 0.9


@contextmanager
def process(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its log; killed at the end."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            list(command), stdout=output, stderr=output, env={**os.environ, **(env or {})}
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def redline_worker(bootstrap: str, directory: Path, number: int = 0) -> tuple[list[str], dict[str, str]]:
    """Command and settings of the worker as it is shipped: rules and model."""
    command = [str(Path(sys.executable).with_name("redline")), "worker"]
    return command, {"REDLINE_KAFKA": bootstrap, "REDLINE_DATA_DIR": str(directory / f"data{number}")}


def profiled_worker(bootstrap: str, directory: Path) -> tuple[list[str], dict[str, str]]:
    """The same, sampled: see `profiled_worker`."""
    _, settings = redline_worker(bootstrap, directory, 8)
    return [sys.executable, "-m", "tests.benchmarks.profiled_worker", str(directory)], settings


def send_all(bootstrap: str, messages: Iterable[Message]) -> None:
    """As fast as the client can."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, batch_size=256 * 1024)
    for message in messages:
        producer.send(MESSAGES, key=message.conversation_id.encode(), value=encode_message(message))
    producer.flush()
    producer.close()


def send_paced(bootstrap: str, messages: Sequence[Message], per_second: float) -> dict[str, float]:
    """One after the other at an even rate; when each was handed over, by message id."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
    sent: dict[str, float] = {}
    began = time.time()
    for number, message in enumerate(messages):
        wait = began + number / per_second - time.time()
        if wait > 0:
            time.sleep(wait)
        sent[message.message_id] = time.time()
        producer.send(MESSAGES, key=message.conversation_id.encode(), value=encode_message(message))
    producer.flush()
    producer.close()
    return sent


@dataclass
class Watcher:
    """Notes when verdicts come: how many by when, and when each message's first."""

    bootstrap: str
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)
    count: int = 0

    @contextmanager
    def watching(self) -> Iterator["Watcher"]:
        """Watch from the present end of the topic, in a thread, while the block runs."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap, fetch_max_wait_ms=10, max_poll_records=5_000
        )
        partitions = [TopicPartition(VERDICTS, number) for number in consumer.partitions_for_topic(VERDICTS)]
        consumer.assign(partitions)
        consumer.seek_to_end(*partitions)
        for each in partitions:
            consumer.position(each)
        ended = threading.Event()

        def watch() -> None:
            while not ended.is_set():
                found = consumer.poll(timeout_ms=50)
                now = time.time()
                for records in found.values():
                    for record in records:
                        self.first.setdefault(orjson.loads(record.value)["message_id"], now)
                    self.count += len(records)
                if found:
                    self.arrivals.append((now, self.count))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()
            consumer.close()

    def wait_for(self, ids: Iterable[str], *others: subprocess.Popen[bytes]) -> None:
        """Until all of these messages have a verdict. Raises when a process ends before."""
        missing = set(ids)
        deadline = time.monotonic() + PATIENCE_SEC
        while missing := missing - self.first.keys():
            if time.monotonic() > deadline or any(other.poll() is not None for other in others):
                raise RuntimeError(
                    f"{len(missing)} messages without a verdict: a process ended or is too slow"
                )
            time.sleep(0.05)

    def per_second(self, wanted: int) -> float:
        """The rate over the middle of so many verdicts."""
        low, high = wanted * FROM, wanted * TO
        begin = next((at, count) for at, count in self.arrivals if count >= low)
        end = next((at, count) for at, count in self.arrivals if count >= high)
        return (end[1] - begin[1]) / max(1e-6, end[0] - begin[0])


class VerdictCount:
    """How many verdicts there are, as the broker tells: costs nothing per verdict."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap)
        numbers = self._consumer.partitions_for_topic(VERDICTS)
        self._places = [TopicPartition(VERDICTS, number) for number in numbers]

    def now(self) -> int:
        """The present number."""
        return sum(self._consumer.end_offsets(self._places).values())

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


def resident_bytes(pid: int) -> int:
    """Memory of a process now."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
