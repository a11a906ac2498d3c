"""What the broker tests need: a worker process, records as bytes, reading a topic until enough is there."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from deploy.dev.services import KafkaBroker

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_SEC = 60.0


@dataclass
class WorkerProcess:
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """As the kernel does when memory runs out: no goodbye."""
        self.process.kill()
        self.process.wait()

    def ask_to_stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_SEC)

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def worker(broker: KafkaBroker, directory: Path, *options: str) -> Iterator[WorkerProcess]:
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"worker-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "tests.integration.worker_under_test", broker.bootstrap, str(directory)]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *options], cwd=REPOSITORY, stdout=output, stderr=output)
    try:
        yield WorkerProcess(process, log)
    finally:
        process.kill()
        process.wait()


def send_raw(broker: KafkaBroker, topic: str, records: list[tuple[bytes | None, bytes | None]]) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=4_000_000)
    for key, value in records:
        producer.send(topic, value=value, key=key).get(timeout=30)
    producer.close()


def read_until(
    broker: KafkaBroker,
    topic: str,
    enough: Callable[[list[Any]], bool],
    *,
    while_alive: WorkerProcess | None = None,
) -> list[Any]:
    """All records of a topic from its beginning, once `enough` of them are there."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, max_partition_fetch_bytes=4_000_000)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    found: list[Any] = []
    deadline = time.monotonic() + PATIENCE_SEC
    try:
        while not enough(found):
            late = time.monotonic() > deadline
            dead = while_alive is not None and while_alive.process.poll() is not None
            if late or dead:
                said = while_alive.text()[-3000:] if while_alive else ""
                raise AssertionError(f"{len(found)} records in {topic}, worker ended: {dead}\n{said}")
            for records in consumer.poll(timeout_ms=200).values():
                found += records
    finally:
        consumer.close()
    return found
