"""The LLM judge beside a real worker: the undecided verdict goes out at once, the amended one after it, one case comes of it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.dev.process import free_ports, wait_until
from deploy.dev.services import ClickHouseServer, KafkaBroker
from detectors.domain import Outcome
from detectors.model_store import CURRENT_FILE
from feedback.cases import CaseFilter, list_cases
from feedback.intake import Pulled, pull_cases
from feedback.store.desk_store import open_desk_store
from streams.codec import decode_verdict
from streams.identity import content_hash
from streams.producer import send_messages
from streams.sink import SinkConfig, run_sink
from streams.store.base import StoreCounts
from streams.store.clickhouse.client import ClickHouseClient
from streams.store.clickhouse.migrate import migrate
from streams.store.clickhouse.store import ClickHouseEventStore
from streams.topics import VERDICTS, ensure_topics, topic_specs
from tests.integration.broker_tools import PATIENCE_SEC, read_until
from tests.llm_endpoint import Reply, accusing, llm_endpoint
from tests.stream_samples import message

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

REDLINE = Path(sys.executable).with_name("redline")
HINT = message(1, text="这款产品您大可放心")


def utc_now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def worker(settings: dict[str, str], log: Path) -> Iterator[None]:
    """Ended by SIGTERM, well."""
    with log.open("wb") as output:
        process = subprocess.Popen([REDLINE, "worker"], env=settings, stdout=output, stderr=output)
    try:
        yield
        process.terminate()
        assert 0 == process.wait(timeout=PATIENCE_SEC), log.read_text()
        assert HINT.text not in log.read_text()
    finally:
        process.kill()
        process.wait()


def outcomes(records: list[Any]) -> list[Outcome]:
    return [decode_verdict(record.value).outcome for record in records]


def test_undecided_message_becomes_one_flagged_case(
    kafka_broker: KafkaBroker,
    clickhouse: ClickHouseClient,
    clickhouse_server: ClickHouseServer,
    tmp_path: Path,
) -> None:
    (status_port,) = free_ports(1)
    models = tmp_path / "models"
    models.mkdir()
    (models / CURRENT_FILE).write_text("{}")  # no model: what no rule flags is undecided
    ((database,),) = clickhouse.query("SELECT currentDatabase()")
    with llm_endpoint(accusing("implied_guarantee")) as endpoint:
        settings = {
            **os.environ,
            "REDLINE_KAFKA": kafka_broker.bootstrap,
            "REDLINE_CLICKHOUSE": f"{clickhouse_server.url.removesuffix('/default')}/{database}",
            "REDLINE_DATA_DIR": str(tmp_path / "data"),
            "REDLINE_MODELS": str(models),
            "REDLINE_STATUS": f"127.0.0.1:{status_port}",
            "REDLINE_JUDGE_URL": endpoint.url,
            "REDLINE_JUDGE_MODEL": "qwen",
        }
        ensure_topics(kafka_broker.bootstrap, topic_specs(4))
        assert send_messages([HINT], bootstrap=kafka_broker.bootstrap).ok
        with worker(settings, tmp_path / "first.log"):
            records = read_until(kafka_broker, VERDICTS, lambda found: len(found) >= 2)
            told = httpx.get(f"http://127.0.0.1:{status_port}/metrics", timeout=PATIENCE_SEC).text
        assert [Outcome.UNDECIDED, Outcome.FLAGGED] == outcomes(records)
        first, amended = (decode_verdict(record.value) for record in records)
        assert 1 == len({(record.partition, record.key) for record in records})
        assert content_hash(HINT) == first.content_hash == amended.content_hash
        assert amended == replace(
            first,
            outcome=Outcome.FLAGGED,
            findings=amended.findings,
            priority=amended.priority,
            queue_reasons=("flagged", "degraded"),
            detected_at=amended.detected_at,
        )
        assert ["qwen"] == [source.id for finding in amended.findings for source in finding.sources]
        assert 'redline_llm_judge_total{result="flagged"} 1.0' in told.splitlines()
        assert 'redline_verdicts_total{outcome="undecided"} 1.0' in told.splitlines()
        assert 'redline_verdicts_total{outcome="flagged"}' not in told

        # Delivered again to a worker whose endpoint is broken: undecided once more, and later than the flag.
        endpoint.says = lambda _: Reply(500)
        assert send_messages([HINT], bootstrap=kafka_broker.bootstrap).ok
        with worker(settings, tmp_path / "second.log"):
            records = read_until(kafka_broker, VERDICTS, lambda found: len(found) >= 3)
            assert wait_until(lambda: len(endpoint.asked) >= 2, timeout_sec=PATIENCE_SEC)
        assert Outcome.UNDECIDED is outcomes(records)[2]
        assert amended.detected_at < decode_verdict(records[2].value).detected_at

    migrate(clickhouse, clock=utc_now)
    events = ClickHouseEventStore(clickhouse, clock=utc_now)
    stop = threading.Event()
    sink = threading.Thread(
        target=lambda: run_sink(SinkConfig(kafka_broker.bootstrap), events, stop=stop, clock=utc_now)
    )
    sink.start()
    try:
        stored = "SELECT count() FROM review_queue"  # no verdict is merged away here
        with closing(ClickHouseClient(settings["REDLINE_CLICKHOUSE"])) as asking:
            assert wait_until(lambda: asking.query(stored)[0][0] >= 3, timeout_sec=PATIENCE_SEC)
    finally:
        stop.set()
        sink.join(PATIENCE_SEC)
    assert StoreCounts(messages=1, verdicts=1, flagged=1, undecided=0) == events.counts()
    assert amended == events.verdict(HINT.conversation_id, HINT.message_id)
    with closing(open_desk_store(f"sqlite:///{tmp_path / 'desk.sqlite'}")) as desk:
        assert Pulled(opened=1, waiting=0) == pull_cases(events, desk, clock=utc_now)
        assert [amended] == [case.snapshot.verdict for case in list_cases(desk, CaseFilter())]
    done = subprocess.run([REDLINE, "reconcile"], env=settings, capture_output=True, text=True, check=False)
    assert "all 2 records are accounted for" in done.stderr
