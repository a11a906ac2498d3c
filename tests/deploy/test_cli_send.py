"""`redline send --dry-run`: a new export or mapping is tried without a broker, and nothing is sent."""

from pathlib import Path

import orjson
import pytest

from tests.deploy.chats import lines, record
from tests.deploy.conftest import Redline

# Nobody listens there: whoever asks the broker fails.
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    path.write_bytes(lines([record(message_id="m1")]) + b"no message\n" + lines([record(message_id="m2")]))
    return path


def test_dry_run_checks_every_record_and_asks_no_broker(
    redline: Redline, chats: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.jsonl"
    ended = redline("send", str(chats), "--dry-run", "--report", str(report), REDLINE_KAFKA=NOWHERE)

    assert (0, "") == (ended.code, ended.out)
    assert "line 2: not valid JSON" in ended.err
    assert ended.err.endswith("2 would be sent, 0 refused, 1 not readable; nothing was sent\n")
    told = [orjson.loads(line) for line in report.read_bytes().splitlines()]
    assert [("m1", "would be sent"), (None, "unreadable"), ("m2", "would be sent")] == [
        (each.get("message_id"), each["status"]) for each in told
    ]


def test_dry_run_names_what_is_too_long_once_it_is_written_as_a_record(
    redline: Redline, tmp_path: Path
) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_bytes(lines([record(message_id="m1", raw={"parts": [""] * 250_000}), record(message_id="m2")]))
    ended = redline("send", str(path), "--dry-run", REDLINE_KAFKA=NOWHERE)
    assert "m1 would not be accepted: written as a record it has" in ended.err
    assert ended.err.endswith("1 would be sent, 1 refused, 0 not readable; nothing was sent\n")


def test_dry_run_refuses_a_file_that_is_not_there(redline: Redline, tmp_path: Path) -> None:
    assert 2 == redline("send", str(tmp_path / "nowhere.jsonl"), "--dry-run").code


def test_without_a_broker_nothing_counts_as_sent(redline: Redline, chats: Path) -> None:
    ended = redline("send", str(chats), REDLINE_KAFKA=NOWHERE)

    assert 1 == ended.code
    assert f"no Kafka broker answers at {NOWHERE}" in ended.err
    assert "delivered" not in ended.err
