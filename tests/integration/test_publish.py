"""From the desk to the store over Kafka: decisions and the ledger, once, whatever runs twice."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import httpx
import orjson
import pytest
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.dev.process import free_ports, wait_until
from deploy.dev.services import KafkaBroker
from deploy.settings import load_settings
from detectors.model_store import LedgerEntry, ModelStore
from feedback.cases import open_cases
from feedback.decisions import decide
from feedback.snapshot import Snapshot
from feedback.store.desk_store import open_desk_store
from streams.sink import Sink, SinkConfig
from streams.store.sqlite import SqliteEventStore
from tests.desk_samples import seed_case_id, seed_snapshots

pytestmark = pytest.mark.kafka

REDLINE = Path(sys.executable).with_name("redline")


def utc_now() -> datetime:
    return datetime.now(UTC)


def _decided(url: str, snapshots: list[Snapshot]) -> None:
    desk = open_desk_store(url)
    open_cases(desk, [(each.turn, each.verdict) for each in snapshots], clock=utc_now)
    decide(desk, seed_case_id("conv-7101-04"), "li", "confirm", clock=utc_now)
    desk.close()


def test_decisions_and_promotions_reach_the_store(
    kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDLINE_KAFKA", kafka_broker.bootstrap)
    monkeypatch.setenv("REDLINE_DATA_DIR", str(tmp_path / "data"))
    load_settings.cache_clear()
    settings = load_settings()
    settings.data_dir.mkdir()
    _decided(settings.desk_store_url, seed_snapshots())
    promoted = LedgerEntry(at=utc_now(), actor="li", action="promoted", version="m2", reasons=("better",))
    ModelStore(settings.model_store_dir).record(promoted)
    for said in ("1 reviews and 2 ledger entries sent", "0 reviews and 0 ledger entries sent"):
        ended = CliRunner().invoke(app, ["publish", "--once"])
        assert (0, True) == (ended.exit_code, said in ended.stderr), ended.output
    load_settings.cache_clear()

    store, stop = SqliteEventStore(tmp_path / "events.db"), threading.Event()
    sink = Sink(SinkConfig(kafka_broker.bootstrap), store, clock=utc_now)
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()
    ledger = "SELECT kind, action FROM current_ledger ORDER BY kind"
    assert wait_until(lambda: len(store.select(ledger, {})) == 2, timeout_sec=60)
    stop.set()
    thread.join(30)
    assert [("li", "confirm")] == store.select("SELECT reviewer, action FROM current_decisions", {})
    assert [("model", "promoted"), ("rules", "in_service")] == store.select(ledger, {})
    store.close()


def test_it_answers_whether_it_gets_through_and_what_it_sent(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    (port,), desk = free_ports(1), f"sqlite:///{tmp_path / 'desk.db'}"
    settings = os.environ | {
        "REDLINE_KAFKA": kafka_broker.bootstrap,
        "REDLINE_DATA_DIR": str(tmp_path),
        "REDLINE_DESK_URL": desk,
        "REDLINE_STATUS": f"127.0.0.1:{port}",
    }
    _decided(desk, seed_snapshots())
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [REDLINE, "publish", "--every", "0.5"], env=settings, stdout=log, stderr=log
        )
    try:
        assert wait_until(
            lambda: b'topic="compliance.reviews"} 1.0' in _answer(port, "metrics"), timeout_sec=120
        )
        assert [] == orjson.loads(_answer(port, "health"))["problems"]
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(60)
    assert (0, True) == (
        ended,
        "1 reviews and 1 ledger entries sent" in (tmp_path / "log").read_text("utf-8"),
    )


def _answer(port: int, path: str) -> bytes:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/{path}").content
    except httpx.TransportError:
        return b""
