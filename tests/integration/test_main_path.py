"""The whole way with the real parts: send → Kafka → worker → Kafka → sink → ClickHouse, as `redline scan` says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.cli.serve import sample_file
from deploy.dev.services import ClickHouseServer, KafkaBroker
from streams.codec import encode_verdict
from streams.store.clickhouse.client import ClickHouseClient
from streams.store.clickhouse.store import ClickHouseEventStore
from tests.detectors.samples import AT

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

REDLINE = Path(sys.executable).with_name("redline")
PATIENCE_SEC = 300.0  # a worker loads its rules and model first, which takes long on a busy machine
# What may differ between two runs of the same judgement.
TIMES = ("detected_at", "latency_ms")


@pytest.fixture
def environment(
    kafka_broker: KafkaBroker, clickhouse_server: ClickHouseServer, tmp_path: Path
) -> dict[str, str]:
    return {
        **os.environ,
        "REDLINE_KAFKA": kafka_broker.bootstrap,
        "REDLINE_CLICKHOUSE": clickhouse_server.url,
        "REDLINE_DATA_DIR": str(tmp_path / "data"),
    }


def run(*arguments: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [REDLINE, *arguments], env=environment, capture_output=True, text=True, timeout=PATIENCE_SEC
    )
    assert done.returncode == 0, done.stderr
    return done


def redline(*arguments: str, environment: dict[str, str]) -> str:
    return run(*arguments, environment=environment).stdout


def redline_said(*arguments: str, environment: dict[str, str]) -> str:
    """What is for people."""
    return run(*arguments, environment=environment).stderr


@contextmanager
def running(command: str, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen([REDLINE, command], env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def opened_store(environment: dict[str, str]) -> Iterator[ClickHouseEventStore]:
    store = ClickHouseEventStore(ClickHouseClient(environment["REDLINE_CLICKHOUSE"]), clock=lambda: AT)
    try:
        yield store
    finally:
        store.close()


def content(line: bytes | str) -> dict[str, Any]:
    verdict: dict[str, Any] = orjson.loads(line)
    return {key: value for key, value in verdict.items() if key not in TIMES}


def test_the_sample_comes_through_with_the_verdicts_of_scan(
    environment: dict[str, str], tmp_path: Path
) -> None:
    expected = {
        verdict["message_id"]: verdict
        for verdict in map(content, redline("scan", str(sample_file()), environment=environment).splitlines())
    }
    assert len(expected) > 400
    redline("migrate", environment=environment)
    with (
        running("worker", environment, tmp_path / "worker.log") as worker,
        running("sink", environment, tmp_path / "sink.log") as sink,
        opened_store(environment) as store,
    ):
        redline("send", str(sample_file()), environment=environment)
        deadline = time.monotonic() + PATIENCE_SEC
        while (counts := store.counts()).verdicts < len(expected) and time.monotonic() < deadline:
            assert worker.poll() is None, (tmp_path / "worker.log").read_text()
            assert sink.poll() is None, (tmp_path / "sink.log").read_text()
            time.sleep(0.3)
        assert (len(expected), len(expected)) == (counts.messages, counts.verdicts)
        found = {}
        for message_id in expected:
            verdict = store.verdict(expected[message_id]["conversation_id"], message_id)
            assert verdict is not None, f"{message_id} was never judged"
            found[message_id] = content(encode_verdict(verdict))
    assert expected == found
    # Nothing was lost on the way, and the command says so.
    assert f"all {len(expected)} records are accounted for" in redline_said(
        "reconcile", environment=environment
    )
