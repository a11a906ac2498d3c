"""Sending a file to a real broker: what became of each record, and going on after a stop."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.main import app
from deploy.dev.services import KafkaBroker
from deploy.settings import load_settings
from streams import producer
from streams.codec import decode_message, encode_message
from streams.topic_reader import TopicReader
from streams.topics import MESSAGES
from tests.stream_samples import message

pytestmark = pytest.mark.kafka


@pytest.fixture(autouse=True)
def _settings(kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REDLINE_KAFKA", kafka_broker.bootstrap)
    monkeypatch.setenv("REDLINE_DATA_DIR", str(tmp_path / "data"))
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def lines(first: int, last: int) -> str:
    return "".join(encode_message(message(n, f"c{n % 7}")).decode() + "\n" for n in range(first, last))


def on_topic(broker: KafkaBroker) -> list[str]:
    with TopicReader(broker.bootstrap) as reader:
        records = list(reader.read(reader.stretches(MESSAGES)))
    return [decode_message(record.value or b"").message_id for record in records]


def send(file: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["send", str(file), *options])


def test_a_run_that_stops_goes_on_behind_what_was_confirmed(
    kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, report = tmp_path / "chats.jsonl", tmp_path / "report.jsonl"
    file.write_text(lines(0, 40) + "no message\n" + lines(40, 100), encoding="utf-8")
    sent = producer.MessageProducer.send

    def until_60(self: producer.MessageProducer, said: object) -> None:
        if getattr(said, "message_id", "").endswith("m60"):
            self.report()
            raise KeyboardInterrupt
        sent(self, said)  # type: ignore[arg-type]

    monkeypatch.setattr(producer.MessageProducer, "send", until_60)
    assert 0 != send(file, "--report", str(report)).exit_code
    assert 60 == len(on_topic(kafka_broker))
    monkeypatch.setattr(producer.MessageProducer, "send", sent)

    again = send(file, "--report", str(report))
    assert 0 == again.exit_code
    assert "going on behind record 61" in again.stderr
    assert "40 delivered" in again.stderr
    assert 100 == len(on_topic(kafka_broker)) == len(set(on_topic(kafka_broker)))

    told = [orjson.loads(line) for line in report.read_bytes().splitlines()]
    assert {"delivered": 100, "unreadable": 1} == {
        status: sum(each["status"] == status for each in told) for status in ("delivered", "unreadable")
    }
    assert 100 == len({(each["partition"], each["offset"]) for each in told if each["status"] == "delivered"})

    with file.open("a", encoding="utf-8") as more:
        more.write(lines(100, 110))
    assert "10 delivered" in send(file).stderr
    assert "110 delivered" in send(file).stderr, "a file that was sent whole is sent again"
    assert "110 delivered" in send(file, "--from-start").stderr
    assert 110 == len(set(on_topic(kafka_broker)))


def test_topics_are_made_as_the_settings_say(
    kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDLINE_KAFKA_PARTITIONS", "6")
    monkeypatch.setenv("REDLINE_KAFKA_REPLICATION", "2")  # one broker cannot
    load_settings.cache_clear()
    file = tmp_path / "chats.jsonl"
    file.write_text(lines(0, 1), encoding="utf-8")
    refused = send(file)
    assert 1 == refused.exit_code
    assert "refused the topics" in str(refused.exception)
    monkeypatch.setenv("REDLINE_KAFKA_REPLICATION", "")
    load_settings.cache_clear()
    assert 0 == send(file).exit_code
    with TopicReader(kafka_broker.bootstrap) as reader:
        assert 6 == len(reader.stretches(MESSAGES))
