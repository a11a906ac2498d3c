"""What the broker tests need: a worker process, records as bytes, reading a topic until enough is there."""

import json
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from deploy.dev.process import free_ports
from detectors.domain import Message
from streams.codec import encode_message
from streams.topics import MESSAGES

REPOSITORY = Path(__file__).resolve().parents[2]
# For machines that do something else as well: every start of a worker takes seconds.
PATIENCE_SEC = 180.0
# A worker that ends so often is broken, not unlucky.
MOST_LIVES = 20


class HasBootstrap(Protocol):
    """A broker or a cluster."""

    @property
    def bootstrap(self) -> str: ...


@dataclass
class WorkerProcess:
    process: subprocess.Popen[bytes]
    log: Path
    status_port: int = 0

    def kill(self) -> None:
        """As the kernel does when memory runs out: no goodbye."""
        self.process.kill()
        self.process.wait()

    def ask_to_stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_SEC)

    def health(self) -> tuple[int, list[str]]:
        """What /health answers; 0 while nobody does. For a worker with `status_port`."""
        assert self.status_port
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/health", timeout=10) as answer:
                return 200, json.load(answer)["problems"]
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)["problems"]
        except OSError:
            return 0, []

    def metrics(self) -> str:
        """What /metrics answers, for a worker with `status_port` that is up."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def memory_bytes(self) -> int:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def worker(
    broker: HasBootstrap, directory: Path, *options: str, engine: str = "faust", status: bool = False
) -> Iterator[WorkerProcess]:
    """A worker process; killed at the end if it still runs."""
    running = start_worker(broker, directory, *options, engine=engine, status=status)
    try:
        yield running
    finally:
        running.kill()


def start_worker(
    broker: HasBootstrap, directory: Path, *options: str, engine: str = "faust", status: bool = False
) -> WorkerProcess:
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"worker-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "tests.integration.worker_under_test", broker.bootstrap, str(directory)]
    port = free_ports(1)[0] if status else 0
    more = ["--status-port", str(port)] if status else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--engine", engine, *more, *options], cwd=REPOSITORY, stdout=output, stderr=output
        )
    return WorkerProcess(process, log, port)


@contextmanager
def supervised(
    broker: HasBootstrap, directory: Path, *options: str, engine: str = "faust"
) -> Iterator[list[WorkerProcess]]:
    """A worker that is started again whenever it stops, as Kubernetes would. All of its processes, the last runs."""
    lives = [start_worker(broker, directory, *options, engine=engine)]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            if lives[-1].process.poll() is not None:
                lives.append(start_worker(broker, directory, *options, engine=engine))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lives
    finally:
        ended.set()
        thread.join()
        lives[-1].kill()


def committed(broker: HasBootstrap, group: str = "redline-worker") -> dict[int, int]:
    """The next offset that a restart would read, by partition of the messages."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(MESSAGES, number) for number in consumer.partitions_for_topic(MESSAGES)]
        return {each.partition: consumer.committed(each) or 0 for each in partitions}
    finally:
        consumer.close()


def send_raw(broker: HasBootstrap, topic: str, records: list[tuple[bytes | None, bytes | None]]) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=4_000_000)
    for key, value in records:
        producer.send(topic, value=value, key=key).get(timeout=30)
    producer.close()


def send_in_transactions(broker: HasBootstrap, parts: Sequence[Sequence[Message]]) -> None:
    """Each part in a transaction of its own: after each the broker writes a marker that no consumer sees."""
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id="crm", acks="all")
    producer.init_transactions()
    for part in parts:
        producer.begin_transaction()
        for each in part:
            producer.send(MESSAGES, key=each.conversation_id.encode(), value=encode_message(each))
        producer.commit_transaction()
    producer.close()


def read_until(
    broker: HasBootstrap,
    topic: str,
    enough: Callable[[list[Any]], bool],
    *,
    while_alive: WorkerProcess | None = None,
    lives: Sequence[WorkerProcess] = (),
) -> list[Any]:
    """
    All records of a topic from its beginning, once `enough` of them are there.

    Gives up with the worker's log when `while_alive` ends, or a supervised worker (`lives`) ends too often.
    """
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, max_partition_fetch_bytes=4_000_000)
    found: list[Any] = []
    deadline = time.monotonic() + PATIENCE_SEC
    try:
        # The node that is asked may not yet have heard of a new topic.
        while not (numbers := consumer.partitions_for_topic(topic)):
            assert time.monotonic() < deadline, f"{topic} does not exist"
            time.sleep(0.2)
        partitions = [TopicPartition(topic, number) for number in numbers]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        while not enough(found):
            late = time.monotonic() > deadline
            dead = while_alive is not None and while_alive.process.poll() is not None
            dead = dead or len(lives) > MOST_LIVES
            if late or dead:
                told = [each for each in (while_alive, *lives[-2:]) if each is not None]
                said = "\n".join(each.text()[-3000:] for each in told)
                raise AssertionError(f"{len(found)} records in {topic}, worker ended: {dead}\n{said}")
            for records in consumer.poll(timeout_ms=200).values():
                found += records
    finally:
        consumer.close()
    return found
