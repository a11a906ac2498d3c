"""From the broker into ClickHouse: every message and every verdict, also when the sink starts again."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition

from deploy.dev.process import free_ports
from deploy.dev.services import ClickHouseServer, KafkaBroker
from detectors.domain import Message, Outcome
from streams import sink as sink_module
from streams.codec import encode_verdict
from streams.dead_letter_events import DeadLetterEvent, encode_resolution
from streams.dead_letters import dead_letter, decode_dead_letter, encode_dead_letter
from streams.errors import StoreError
from streams.ledger import LedgerRecord, encode_ledger_record
from streams.origin import Origin
from streams.producer import send_messages
from streams.reviews import Review, encode_review
from streams.sink import Sink, SinkConfig, SinkReport, run_sink
from streams.store.base import EventStore, StoreCounts, StoredMessage
from streams.store.clickhouse.client import ClickHouseClient
from streams.store.clickhouse.migrate import migrate
from streams.store.clickhouse.store import ClickHouseEventStore
from streams.store.sqlite import SqliteEventStore
from streams.topics import DEAD_LETTERS, MESSAGES, MODELS, REVIEWS, VERDICTS, ensure_topics, topic_specs
from streams.vitals import HealthPolicy
from tests.integration.broker_tools import PATIENCE_SEC, read_until, send_raw, worker
from tests.stream_samples import message, verdict

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


REDLINE = Path(sys.executable).with_name("redline")


def utc_now() -> datetime:
    return datetime.now(UTC)


def sink_until(
    broker: KafkaBroker, store: EventStore, counts: StoreCounts, group: str = "redline-sink"
) -> SinkReport:
    """Run a sink in this process until the store holds so much."""
    stop = threading.Event()
    reports: list[SinkReport] = []
    config = SinkConfig(broker.bootstrap, group_id=group, max_batch=50)
    thread = threading.Thread(
        target=lambda: reports.append(run_sink(config, store, stop=stop, clock=utc_now))
    )
    thread.start()
    deadline = time.monotonic() + PATIENCE_SEC
    while store.counts() != counts and time.monotonic() < deadline:
        time.sleep(0.1)
    stop.set()
    thread.join(timeout=PATIENCE_SEC)
    assert counts == store.counts()
    return reports[0]


def test_from_producer_through_worker_and_sink_to_rows(
    kafka_broker: KafkaBroker, clickhouse: ClickHouseClient, tmp_path: Path
) -> None:
    migrate(clickhouse, clock=utc_now)
    store = ClickHouseEventStore(clickhouse, clock=utc_now)
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    messages = [message(n, f"c{c}", text="保本💰") for n in range(20) for c in range(3)]
    with worker(kafka_broker, tmp_path / "worker"):
        assert send_messages(messages, bootstrap=kafka_broker.bootstrap).ok
        report = sink_until(kafka_broker, store, StoreCounts(60, 60, 60, 0))
    assert (report.messages, report.verdicts) == (60, 60)
    assert [each for each in messages if each.conversation_id == "c1"] == store.conversation("c1")
    found = store.verdict("c1", "c1-m1")
    assert found is not None
    assert found.findings[0].reason == "c1-m0"
    origins = clickhouse.query(
        "SELECT topic, uniqExact(partition_no, offset_no) FROM messages GROUP BY topic"
    )
    assert origins == [(MESSAGES, 60)]


def test_sink_goes_on_after_poison_and_reads_nothing_twice(
    kafka_broker: KafkaBroker, clickhouse: ClickHouseClient
) -> None:
    migrate(clickhouse, clock=utc_now)
    store = ClickHouseEventStore(clickhouse, clock=utc_now)
    ensure_topics(kafka_broker.bootstrap, topic_specs(1))
    flagged = verdict(outcome=Outcome.FLAGGED)
    send_raw(
        kafka_broker, VERDICTS, [(b"c1", b"\xff poison"), (b"c1", encode_verdict(flagged)), (b"c1", None)]
    )
    send_raw(kafka_broker, MESSAGES, [(b"c1", b"poison"), (b"c1", None)])
    send_messages([message(1)], bootstrap=kafka_broker.bootstrap)
    # The two letters that the sink sends come back to it as what it stores.
    report = sink_until(kafka_broker, store, StoreCounts(1, 1, 1, 0, 2))
    assert (1, 1, 2, 2, 2) == (
        report.messages,
        report.verdicts,
        report.letters,
        report.skipped,
        report.dead,
    )
    letters = read_until(kafka_broker, DEAD_LETTERS, lambda found: len(found) >= 2)
    assert [decode_dead_letter(record.value).original for record in letters] == [b"\xff poison", None]
    send_messages([message(2)], bootstrap=kafka_broker.bootstrap)
    report = sink_until(kafka_broker, store, StoreCounts(2, 1, 1, 0, 2))
    assert (1, 0, 0) == (report.messages, report.verdicts, report.skipped)


def test_dead_letters_reviews_and_the_ledger_are_stored(
    kafka_broker: KafkaBroker, clickhouse: ClickHouseClient
) -> None:
    migrate(clickhouse, clock=utc_now)
    store = ClickHouseEventStore(clickhouse, clock=utc_now)
    ensure_topics(kafka_broker.bootstrap, topic_specs(1))
    at = utc_now()
    letter = dead_letter(
        None, reason="bad_json", topic=MESSAGES, partition=0, offset=5, key=None, original=b"x", at=at
    )
    dropped = DeadLetterEvent(Origin(MESSAGES, 0, 6), "dropped", at, actor="li", why="a test")
    send_raw(
        kafka_broker,
        DEAD_LETTERS,
        [(None, encode_dead_letter(letter)), (None, encode_resolution(dropped)), (None, b"poison")],
    )
    review = Review(
        *(7, "case", "c1", "c1-m1", "", "confirm", ("guaranteed_return",), ("guaranteed_return",), "li", at),
        *("d", "cn-1", "abc", "m1", "0.1"),
    )
    send_raw(kafka_broker, REVIEWS, [(b"c1", encode_review(review)), (b"c1", b"poison")])
    entry = LedgerRecord("model", at, "li", "promoted", "m2")
    send_raw(kafka_broker, MODELS, [(b"e", encode_ledger_record(entry))])
    # The letter, and that of the review which cannot be read.
    report = sink_until(kafka_broker, store, StoreCounts(0, 0, 0, 0, 2))
    assert (1, 1, 1, 1) == (report.reviews, report.ledger, report.skipped, report.dead)
    assert [("guaranteed_return", 1, 1)] == store.select(
        "SELECT label, machine, person FROM current_decision_labels", {}
    )
    assert [("promoted", "m2")] == store.select("SELECT action, version FROM current_ledger", {})


def test_while_the_store_is_away_only_the_lag_grows(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    """ClickHouse is stopped, messages are sent, ClickHouse is started: all of them are there, once."""
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    server = ClickHouseServer.start(tmp_path / "clickhouse")
    port, http_port = server.port, server.http_port
    client = ClickHouseClient(server.url)
    migrate(client, clock=utc_now)
    store = ClickHouseEventStore(client, clock=utc_now)
    status = free_ports(1)[0]
    config = SinkConfig(
        kafka_broker.bootstrap,
        max_batch=50,
        health=HealthPolicy(silence=timedelta(seconds=3)),
        status=("127.0.0.1", status),
    )
    stop, reports = threading.Event(), []
    thread = threading.Thread(
        target=lambda: reports.append(run_sink(config, store, stop=stop, clock=utc_now))
    )
    thread.start()
    looking = ClickHouseEventStore(ClickHouseClient(server.url), clock=utc_now)
    try:
        send_messages([message(n) for n in range(100)], bootstrap=kafka_broker.bootstrap)
        wait_until(lambda: looking.counts().messages == 100)
        wait_until(lambda: told(status)[0] == 200)
        server.stop()
        send_messages([message(n) for n in range(100, 700)], bootstrap=kafka_broker.bootstrap)
        # More than the sink holds stays on the broker.
        time.sleep(2)
        assert thread.is_alive()
        assert committed(kafka_broker) < 700
        wait_until(lambda: (told(status)[0], told(status)[1].get("lag")) == (503, 600))
        _, health = told(status)
        assert ["the store is away: nothing is written, the lag grows"] == health["problems"]
        assert health["store_away_sec"] > 3
        server = ClickHouseServer.start(tmp_path / "clickhouse", port=port, http_port=http_port)
        wait_until(lambda: looking.counts().messages == 700)
        wait_until(lambda: committed(kafka_broker) == 700)
        wait_until(lambda: (told(status)[0], told(status)[1]["lag"]) == (200, 0))
        metrics = get(status, "/metrics")[1].decode().splitlines()
        assert 'redline_sink_rows_total{kind="messages"} 700.0' in metrics
        assert "redline_sink_store_away_seconds 0.0" in metrics
    finally:
        stop.set()
        thread.join(timeout=PATIENCE_SEC)
        looking.close()
        store.close()
        server.stop()
    assert [700] == [report.messages for report in reports]


def start_sink(broker: KafkaBroker, data: Path) -> "subprocess.Popen[bytes]":
    settings = {**os.environ, "REDLINE_KAFKA": broker.bootstrap, "REDLINE_DATA_DIR": str(data)}
    with (data / "sink.log").open("ab") as log:
        return subprocess.Popen([REDLINE, "sink"], env=settings, stdout=log, stderr=log)


def test_killed_sink_loses_nothing_and_doubles_nothing(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    """Killed as the kernel does it, between any two writes: the next one goes on, and every message is there once."""
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    store = SqliteEventStore(tmp_path / "events.sqlite")
    killed, sent = threading.Event(), count()

    def flowing() -> Iterator[Message]:
        """Messages that go on for as long as the sink lives, and a while after."""
        while not killed.is_set():
            yield from (message(n, f"c{n % 50}") for n in islice(sent, 20))
            time.sleep(0.02)
        yield from (message(n, f"c{n % 50}") for n in islice(sent, 500))

    first = start_sink(kafka_broker, tmp_path)
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(send_messages, flowing(), bootstrap=kafka_broker.bootstrap)
        try:
            wait_until(lambda: store.counts().messages > 0)
        finally:
            first.kill()
            first.wait()
            killed.set()
    assert sending.result().ok
    number = next(sent)
    assert 0 < store.counts().messages < number
    second = start_sink(kafka_broker, tmp_path)
    try:
        wait_until(lambda: store.counts().messages == number)
        wait_until(lambda: committed(kafka_broker) == number)
        second.terminate()
        assert 0 == second.wait(timeout=PATIENCE_SEC), (tmp_path / "sink.log").read_text()
    finally:
        second.kill()
        second.wait()
        store.close()
    assert number == store_rows(tmp_path / "events.sqlite")


def store_rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        ((rows,),) = database.execute("SELECT count(*) FROM messages").fetchall()
    return int(rows)


class StoreThatIsAway(SqliteEventStore):
    """Refuses every write while `away`."""

    away = True
    refused = 0

    def write_messages(self, messages: Sequence[StoredMessage]) -> None:
        if self.away:
            self.refused += 1
            raise StoreError("out for lunch", retryable=True)
        super().write_messages(messages)


def test_partitions_that_move_while_the_store_is_away_do_not_make_it_seem_back(
    kafka_broker: KafkaBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    store = StoreThatIsAway(tmp_path / "events.sqlite")
    stop = threading.Event()
    sinks = [Sink(SinkConfig(kafka_broker.bootstrap), store, clock=utc_now)]
    threads = [threading.Thread(target=lambda: sinks[0].run(stop))]
    threads[0].start()
    try:
        send_messages([message(n, f"c{n}") for n in range(50)], bootstrap=kafka_broker.bootstrap)
        wait_until(lambda: sinks[0].vitals.health().store_away_sec is not None)
        # Another joins: the first has to give up what it holds, and cannot write it before.
        sinks.append(Sink(SinkConfig(kafka_broker.bootstrap), store, clock=utc_now))
        threads.append(threading.Thread(target=lambda: sinks[1].run(stop)))
        threads[1].start()
        wait_until(lambda: "while partitions move" in caplog.text)
        moved = store.refused
        # By then each of them has tried again.
        wait_until(lambda: store.refused >= moved + 5)
        assert all(sink.vitals.health().store_away_sec is not None for sink in sinks)
        assert "the store is back" not in caplog.text
        assert 0 == store.counts().messages
        store.away = False
        wait_until(lambda: store.counts().messages == 50)
        wait_until(lambda: all(sink.vitals.health().store_away_sec is None for sink in sinks))
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=PATIENCE_SEC)
        store.close()


def test_what_was_deleted_before_it_was_stored_is_told(
    kafka_broker: KafkaBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ensure_topics(kafka_broker.bootstrap, topic_specs(1))
    store = SqliteEventStore(tmp_path / "events.sqlite")
    send_messages([message(1), message(2)], bootstrap=kafka_broker.bootstrap)
    sink_until(kafka_broker, store, StoreCounts(2, 0, 0, 0))
    assert "before a sink stored them" not in caplog.text
    send_messages([message(n) for n in range(3, 8)], bootstrap=kafka_broker.bootstrap)
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    admin.delete_records({TopicPartition(MESSAGES, 0): 6})
    admin.close()
    stop = threading.Event()
    sink = Sink(SinkConfig(kafka_broker.bootstrap), store, clock=utc_now)
    thread = threading.Thread(target=lambda: sink.run(stop))
    thread.start()
    try:
        wait_until(lambda: store.counts().messages == 3)
    finally:
        stop.set()
        thread.join(timeout=PATIENCE_SEC)
        store.close()
    assert "advisor.messages[0]: the broker deleted offsets 2 to 5 before a sink stored them" in caplog.text
    told = {"topic": MESSAGES}
    assert 4 == sink.metrics.registry.get_sample_value("redline_sink_deleted_unstored_total", told)


def test_sink_that_its_group_has_forgotten_joins_anew(
    kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of the broker, when the client's heartbeat did not come back."""
    monkeypatch.setattr(sink_module, "FORGOTTEN_SEC", 15.0)
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    store, stop = SqliteEventStore(tmp_path / "events.sqlite"), threading.Event()
    sink = Sink(SinkConfig(kafka_broker.bootstrap), store, clock=utc_now)
    thread = threading.Thread(target=lambda: sink.run(stop))
    thread.start()
    try:
        send_messages([message(1)], bootstrap=kafka_broker.bootstrap)
        wait_until(lambda: store.counts().messages == 1)
        first = sink._consumer
        first._coordinator._disable_heartbeat()
        wait_until(lambda: sink._consumer is not first)
        send_messages([message(2)], bootstrap=kafka_broker.bootstrap)
        wait_until(lambda: store.counts().messages == 2)
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(timeout=PATIENCE_SEC)
        store.close()


def get(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return 200, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()
    except OSError:
        return 0, b"{}"


def told(port: int) -> tuple[int, dict[str, Any]]:
    """What /health answers; 0 while nobody does."""
    status, body = get(port, "/health")
    return status, json.loads(body)


def committed(broker: KafkaBroker, group: str = "redline-sink") -> int:
    """How many messages the sink has put behind it."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        offsets = admin.list_group_offsets({group: None})[group]
        return sum(kept.offset for place, kept in offsets.items() if place.topic == MESSAGES)
    finally:
        admin.close()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SEC
    while not true():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.2)
