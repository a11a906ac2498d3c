"""`redline worker --score`: who asks before sending is answered with the conversation that the worker knows."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import orjson
import pytest

from deploy.dev.process import free_ports, wait_until
from deploy.dev.services import KafkaBroker
from detectors.domain import Speaker
from streams.codec import decode_verdict, encode_message
from streams.producer import send_messages
from streams.topics import VERDICTS, ensure_topics, topic_specs
from tests.integration.broker_tools import PATIENCE_SEC, read_until
from tests.stream_samples import message

pytestmark = pytest.mark.kafka

REDLINE = Path(sys.executable).with_name("redline")
ASKED = replace(message(1, text="能保证6%吗"), speaker=Speaker.CUSTOMER)
ANSWER = replace(message(2, text="没问题"), speaker=Speaker.ADVISOR)


def test_worker_answers_with_its_context(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    assert send_messages([ASKED], bootstrap=kafka_broker.bootstrap).ok
    score_port, status_port = free_ports(2)
    settings = {
        **os.environ,
        "REDLINE_KAFKA": kafka_broker.bootstrap,
        "REDLINE_DATA_DIR": str(tmp_path / "data"),
        "REDLINE_USE_MODEL": "false",
        "REDLINE_STATUS": f"127.0.0.1:{status_port}",
    }
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [REDLINE, "worker", "--score", f"127.0.0.1:{score_port}"],
            env=settings,
            stdout=output,
            stderr=output,
        )
    try:
        read_until(kafka_broker, VERDICTS, lambda found: len(found) >= 1)
        question = orjson.dumps({"message": orjson.loads(encode_message(ANSWER))})
        answer = httpx.post(f"http://127.0.0.1:{score_port}/v1/score", content=question, timeout=PATIENCE_SEC)
        assert (200, "worker") == (answer.status_code, answer.headers["Redline-Context"])
        assert decode_verdict(answer.content).flagged
        told = httpx.get(f"http://127.0.0.1:{status_port}/metrics", timeout=PATIENCE_SEC).text
        assert 'redline_verdicts_total{outcome="clean"} 1.0' in told.splitlines()
        # Asking is not sending: the question left no verdict on the topic.
        assert send_messages([replace(ANSWER, text="再见")], bootstrap=kafka_broker.bootstrap).ok
        verdicts = read_until(kafka_broker, VERDICTS, lambda found: len(found) >= 2)
        assert [ASKED.message_id, ANSWER.message_id] == [
            decode_verdict(record.value).message_id for record in verdicts
        ]
        worker.terminate()
        assert wait_until(lambda: worker.poll() is not None, timeout_sec=PATIENCE_SEC)
        assert worker.returncode == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait()
