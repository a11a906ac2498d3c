"""From the broker into ClickHouse: every message and every verdict, also when the sink starts again."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.dev.services import KafkaBroker
from detectors.domain import Outcome
from streams.codec import encode_verdict
from streams.dead_letters import decode_dead_letter
from streams.producer import send_messages
from streams.sink import SinkConfig, SinkReport, run_sink
from streams.store.base import EventStore, StoreCounts
from streams.store.clickhouse.client import ClickHouseClient
from streams.store.clickhouse.migrate import migrate
from streams.store.clickhouse.store import ClickHouseEventStore
from streams.topics import DEAD_LETTERS, MESSAGES, VERDICTS, ensure_topics, topic_specs
from tests.integration.broker_tools import read_until, send_raw, worker
from tests.stream_samples import message, verdict

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


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
    deadline = time.monotonic() + 40
    while store.counts() != counts and time.monotonic() < deadline:
        time.sleep(0.1)
    stop.set()
    thread.join(timeout=30)
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
    report = sink_until(kafka_broker, store, StoreCounts(1, 1, 1, 0))
    assert SinkReport(messages=1, verdicts=1, skipped=2, dead=2) == report
    letters = read_until(kafka_broker, DEAD_LETTERS, lambda found: len(found) >= 2)
    assert [decode_dead_letter(record.value).original for record in letters] == [b"\xff poison", None]
    send_messages([message(2)], bootstrap=kafka_broker.bootstrap)
    assert SinkReport(messages=1) == sink_until(kafka_broker, store, StoreCounts(2, 1, 1, 0))
