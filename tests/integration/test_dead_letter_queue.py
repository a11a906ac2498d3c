"""Dead letters on a real broker: found, shown, replayed and dropped with the command, none lost or doubled."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from deploy.cli.dead_letters import dlq_app
from deploy.dev.services import KafkaBroker
from deploy.settings import load_settings
from streams.codec import decode_verdict, encode_message
from streams.dead_letters import PIPELINE_ERROR, TOMBSTONE, WRONG_KEY, dead_letter, encode_dead_letter
from streams.topic_reader import TopicReader
from streams.topics import DEAD_LETTERS, MESSAGES, VERDICTS, ensure_topics, topic_specs
from tests.integration.broker_tools import read_until, send_raw, worker
from tests.stream_samples import message

pytestmark = pytest.mark.kafka


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def dlq(kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("REDLINE_KAFKA", kafka_broker.bootstrap)
    monkeypatch.setenv("REDLINE_DATA_DIR", str(tmp_path / "data"))
    load_settings.cache_clear()

    def run(*arguments: str) -> Done:
        result = CliRunner().invoke(dlq_app, arguments)
        return Done(result.exit_code, result.stdout, result.stderr)

    yield run
    load_settings.cache_clear()


def letter(
    offset: int, original: bytes | None, *, reason: str = PIPELINE_ERROR, at: datetime | None = None
) -> bytes:
    at = at or datetime(2025, 3, 1, 12, offset, tzinfo=UTC)
    return encode_dead_letter(
        dead_letter(
            None,
            reason=reason,
            topic=MESSAGES,
            partition=0,
            offset=offset,
            key=b"c1",
            original=original,
            at=at,
        )
    )


def held(broker: KafkaBroker, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    with TopicReader(broker.bootstrap) as reader:
        return [(record.key, record.value) for record in reader.read(reader.stretches(topic))]


def lines(text: str) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_letters_are_replayed_once_and_dropped_with_a_reason(kafka_broker: KafkaBroker, dlq: Run) -> None:
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    good = encode_message(message(1))
    letters = [
        letter(1, good),
        letter(1, good),
        letter(2, b"\xff poison", reason="bad_json"),
        letter(3, None, reason=TOMBSTONE),
        b"no letter at all",
    ]
    send_raw(kafka_broker, DEAD_LETTERS, [(None, each) for each in letters])

    listed = dlq("list", "--json")
    assert [
        ("advisor.messages:0:3", TOMBSTONE, 1),
        ("advisor.messages:0:2", "bad_json", 1),
        ("advisor.messages:0:1", PIPELINE_ERROR, 2),
    ] == [(each["record"], each["reason"], each["letters"]) for each in lines(listed.stdout)]
    assert "1 records of the dead-letter topic are no dead letters" in listed.stderr
    assert b"\xff poison".decode(errors="replace") in dlq("show", "0:2").stdout
    assert "您好" in dlq("show", "0:1").stdout
    assert 1 == dlq("show", "0:99").returncode

    assert 2 == dlq("replay").returncode, "everything at once has to be said"
    assert "1 dead letters would be replayed" in dlq("replay", "0:1", "--dry-run").stderr
    assert [] == held(kafka_broker, MESSAGES)
    for expected in ("1 of 1 replayed", "0 of 0 replayed"):
        done = dlq("replay", "--reason", PIPELINE_ERROR, "--why", "repaired", "--actor", "li.na")
        assert (0, True) == (done.returncode, expected in done.stderr), done.stderr
    assert [(b"c1", good)] == held(kafka_broker, MESSAGES)

    whole = dlq("replay", "--all")
    assert 1 == whole.returncode
    assert "advisor.messages:0:3: its bytes are not in the letter" in whole.stderr
    assert [(b"c1", good), (b"c1", b"\xff poison")] == held(kafka_broker, MESSAGES)

    assert 2 == dlq("drop", "0:3", "--why", " ").returncode
    assert "1 dropped" in dlq("drop", "0:3", "--why", "a test sent it", "--actor", "wu").stderr
    assert "0 dropped" in dlq("drop", "0:3", "--why", "again").stderr
    assert [] == lines(dlq("list", "--json").stdout)
    states = {each["record"]: each for each in lines(dlq("list", "--status", "all", "--json").stdout)}
    dropped = states["advisor.messages:0:3"]
    assert ("dropped", "wu", "a test sent it") == (dropped["status"], dropped["by"], dropped["why"])
    assert {"replayed"} == {each["status"] for each in states.values() if each != dropped}


def test_a_letter_where_an_older_one_was_dropped_is_open_with_its_own_bytes(
    kafka_broker: KafkaBroker, dlq: Run
) -> None:
    """After the topic of messages was made anew; the worker that failed there has a clock that is ahead."""
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    send_raw(kafka_broker, DEAD_LETTERS, [(None, letter(1, b"old"))])
    assert 0 == dlq("drop", "0:1", "--why", "a test sent it").returncode
    ahead = datetime.now(UTC) + timedelta(hours=1)
    send_raw(kafka_broker, DEAD_LETTERS, [(None, letter(1, b"new", at=ahead))])
    (state,) = lines(dlq("list", "--json").stdout)
    assert ("open", 2, ahead.isoformat()) == (state["status"], state["letters"], state["failed_at"])
    assert "new" == dlq("show", "0:1", "--raw").stdout
    assert "1 of 1 replayed" in dlq("replay", "0:1", "--why", "repaired").stderr
    assert [(b"c1", b"new")] == held(kafka_broker, MESSAGES)
    assert [] == lines(dlq("list", "--json").stdout)


def test_a_repaired_record_is_judged_after_its_replay(
    kafka_broker: KafkaBroker, dlq: Run, tmp_path: Path
) -> None:
    """The judge of the test fails on `boom`; a letter with other words stands for what was repaired."""
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    misplaced = letter(8, encode_message(message(8, "c9")), reason=WRONG_KEY)  # its key is c1
    send_raw(kafka_broker, DEAD_LETTERS, [(None, letter(7, encode_message(message(7)))), (None, misplaced)])
    send_raw(kafka_broker, MESSAGES, [(b"c1", encode_message(message(1, text="boom")))])
    with worker(kafka_broker, tmp_path / "worker") as running:
        read_until(kafka_broker, DEAD_LETTERS, lambda found: len(found) >= 3, while_alive=running)
        assert 0 == dlq("replay", "--all", "--why", "repaired").returncode
        verdicts = read_until(kafka_broker, VERDICTS, lambda found: len(found) >= 2, while_alive=running)
        # What still fails is a letter again, of the new record: 3 letters, 3 notes, and this one.
        read_until(kafka_broker, DEAD_LETTERS, lambda found: len(found) >= 7, while_alive=running)
    assert {"c1-m7", "c9-m8"} == {decode_verdict(record.value).message_id for record in verdicts}
    assert 1 == len(lines(dlq("list", "--json").stdout))
