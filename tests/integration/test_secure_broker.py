"""send, worker and sink over TLS, with a password and with a certificate; and what they say when it does not fit."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.dev.process import wait_until
from deploy.dev.services import KafkaBroker
from streams.broker import Broker
from streams.codec import encode_message
from streams.store.base import StoreCounts
from streams.store.sqlite import SqliteEventStore
from tests.stream_samples import message

pytestmark = pytest.mark.kafka

REDLINE = Path(sys.executable).with_name("redline")
PATIENCE_SEC = 120.0
MESSAGES = 20


def environment(broker: Broker, data: Path, **changes: str) -> dict[str, str]:
    """The settings of a user who connects so."""
    security = broker.security
    chosen = {
        "REDLINE_KAFKA": broker.servers,
        "REDLINE_KAFKA_SECURITY": security.protocol,
        "REDLINE_KAFKA_CA": str(security.ca_file or ""),
        "REDLINE_KAFKA_CERT": str(security.cert_file or ""),
        "REDLINE_KAFKA_KEY": str(security.key_file or ""),
        "REDLINE_KAFKA_USER": security.username or "",
        "REDLINE_KAFKA_PASSWORD": security.password or "",
        "REDLINE_DATA_DIR": str(data),
        "REDLINE_USE_MODEL": "false",
    }
    return {**os.environ, **chosen, **changes}


@contextmanager
def running(command: str, settings: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen([REDLINE, command], env=settings, stdout=output, stderr=output)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_SEC) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def send(file: Path, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REDLINE, "send", str(file)], env=settings, capture_output=True, text=True, timeout=PATIENCE_SEC
    )


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    file = tmp_path / "chats.jsonl"
    file.write_bytes(b"\n".join(encode_message(message(number, text="保本")) for number in range(MESSAGES)))
    return file


@pytest.mark.parametrize("kind", ["with_password", "with_certificate"])
def test_messages_come_through(kind: str, kafka_broker: KafkaBroker, chats: Path, tmp_path: Path) -> None:
    settings = environment(getattr(kafka_broker, kind), tmp_path / "data")
    wanted = StoreCounts(MESSAGES, MESSAGES, MESSAGES, 0)
    done = send(chats, settings)
    assert done.returncode == 0, done.stderr
    with (
        running("worker", settings, tmp_path / "worker.log") as worker,
        running("sink", settings, tmp_path / "sink.log") as sink,
    ):
        store: SqliteEventStore | None = None

        def all_there() -> bool:
            nonlocal store
            assert worker.poll() is None, (tmp_path / "worker.log").read_text()
            assert sink.poll() is None, (tmp_path / "sink.log").read_text()
            if store is None and (tmp_path / "data" / "events.sqlite").exists():
                store = SqliteEventStore(tmp_path / "data" / "events.sqlite")
            return store is not None and store.counts().verdicts >= MESSAGES

        wait_until(all_there, timeout_sec=PATIENCE_SEC)
        assert store is not None
        found = store.counts()
        store.close()
    assert (wanted.messages, wanted.verdicts) == (found.messages, found.verdicts)


def test_wrong_password_is_told_and_not_shown(kafka_broker: KafkaBroker, chats: Path, tmp_path: Path) -> None:
    done = send(
        chats, environment(kafka_broker.with_password, tmp_path, REDLINE_KAFKA_PASSWORD="hunter2-wrong")
    )
    assert done.returncode == 1
    assert "user, password and mechanism" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_broker_of_another_authority_is_refused(
    kafka_broker: KafkaBroker, chats: Path, tmp_path: Path
) -> None:
    done = send(chats, environment(kafka_broker.with_password, tmp_path, REDLINE_KAFKA_CA=""))
    assert done.returncode == 1
    assert "is not to be trusted" in done.stderr
