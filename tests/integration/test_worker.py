"""The worker on a real broker: every record becomes a verdict or a dead letter, also when it is killed."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.dev.services import KafkaBroker
from detectors.domain import Message
from streams.codec import decode_verdict, encode_message
from streams.context import MemoryContext
from streams.dead_letters import decode_dead_letter
from streams.producer import send_messages
from streams.topics import DEAD_LETTERS, MESSAGES, VERDICTS, ensure_topics, topic_specs
from tests.integration.broker_tools import read_until, send_raw, worker
from tests.stream_samples import message

pytestmark = pytest.mark.kafka

PARTITIONS = 2


def chats(conversations: int, length: int) -> list[Message]:
    """Several conversations, woven into each other as they are on a real topic."""
    return [message(n, f"c{c}") for n in range(length) for c in range(conversations)]


def contexts(messages: Sequence[Message]) -> dict[str, str]:
    """What the worker's judge must say of each message: the ids before it."""
    context = MemoryContext()
    turns = [context.turn(each) for each in messages]
    return {turn.message.message_id: ",".join(m.message_id for m in turn.before) for turn in turns}


def reasons(records: Sequence[Any]) -> dict[str, set[str]]:
    """Every reason that was given for each message, over all its verdicts."""
    found: dict[str, set[str]] = {}
    for record in records:
        verdict = decode_verdict(record.value)
        assert verdict.conversation_id.encode() == record.key
        found.setdefault(verdict.message_id, set()).add(verdict.findings[0].reason)
    return found


def covers(wanted: int) -> Any:
    return lambda records: len({decode_verdict(record.value).message_id for record in records}) >= wanted


def test_verdicts_for_messages_and_dead_letters_for_the_rest(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
    messages = chats(conversations=5, length=30)
    bad: list[tuple[bytes | None, bytes | None]] = [
        (b"c0", b"\xff\x00 not json"),
        (b"c1", b'{"message_id": "x"}'),
        (b"c2", None),
        (None, b"x" * 1_500_000),
        (b"c3", encode_message(message(99, "c3", text="boom"))),
    ]
    with worker(kafka_broker, tmp_path / "worker") as running:
        assert send_messages(messages[:70], bootstrap=kafka_broker.bootstrap).delivered == 70
        send_raw(kafka_broker, MESSAGES, bad)
        assert send_messages(messages[70:], bootstrap=kafka_broker.bootstrap).ok
        verdicts = read_until(kafka_broker, VERDICTS, covers(len(messages)), while_alive=running)
        letters = read_until(kafka_broker, DEAD_LETTERS, lambda found: len(found) >= len(bad))
        assert running.ask_to_stop() == 0

    expected = contexts(messages)
    found = reasons(verdicts)
    assert expected.keys() == found.keys()
    # `boom` was judged by nobody, but it was said: it is part of what comes after it.
    assert {k: {v} for k, v in expected.items() if not k.startswith("c3")} == {
        k: v for k, v in found.items() if not k.startswith("c3")
    }
    decoded = [decode_dead_letter(record.value) for record in letters]
    assert {(key, value) for key, value in bad} == {
        (letter.key, letter.original if letter.complete or letter.original is None else bad[3][1])
        for letter in decoded
    }
    assert {"tombstone", "pipeline_error"} < {letter.reason for letter in decoded}
    for letter in decoded:
        assert letter.topic == MESSAGES
        assert letter.offset >= 0
        assert "customer" not in letter.detail
    assert all(letter.stack_digest for letter in decoded if letter.reason != "tombstone")
    assert 1_500_000 in {letter.original_size for letter in decoded}


def test_killed_worker_loses_nothing_and_forgets_nothing(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
    # Long conversations: what is read again lies further back than a turn shows.
    messages = chats(conversations=3, length=120)
    assert send_messages(messages, bootstrap=kafka_broker.bootstrap).ok
    seen = 0
    for share in (0.2, 0.5):
        with worker(kafka_broker, tmp_path / "worker", "--pause-sec", "0.004") as running:
            wanted = int(len(messages) * share)
            seen = len(read_until(kafka_broker, VERDICTS, covers(wanted), while_alive=running))
            time.sleep(0.3)
            running.kill()
    assert seen < len(messages), "the worker was killed too late to show anything"
    with worker(kafka_broker, tmp_path / "worker") as running:
        verdicts = read_until(kafka_broker, VERDICTS, covers(len(messages)), while_alive=running)
        assert running.ask_to_stop() == 0
    # Also a verdict that was given twice was given with the same messages before it.
    assert {key: {value} for key, value in contexts(messages).items()} == reasons(verdicts)


def test_partitions_move_with_their_context(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
    messages = chats(conversations=8, length=30)
    thirds = [messages[:80], messages[80:160], messages[160:]]
    with worker(kafka_broker, tmp_path / "one") as first:
        send_messages(thirds[0], bootstrap=kafka_broker.bootstrap)
        read_until(kafka_broker, VERDICTS, covers(80), while_alive=first)
        with worker(kafka_broker, tmp_path / "two") as second:
            send_messages(thirds[1], bootstrap=kafka_broker.bootstrap)
            read_until(kafka_broker, VERDICTS, covers(160), while_alive=second)
            first.kill()
            send_messages(thirds[2], bootstrap=kafka_broker.bootstrap)
            verdicts = read_until(kafka_broker, VERDICTS, covers(240), while_alive=second)
    assert {key: {value} for key, value in contexts(messages).items()} == reasons(verdicts)


def test_worker_stops_loudly_past_the_limit(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
    send_raw(kafka_broker, MESSAGES, [(b"k", b"poison %d" % n) for n in range(40)])
    with worker(kafka_broker, tmp_path / "worker", "--max-dead", "10") as running:
        assert running.process.wait(timeout=60) == 1
        assert "the worker stops" in running.text()
        assert "Look at the dead-letter topic" in running.text()
    letters = read_until(kafka_broker, DEAD_LETTERS, lambda found: len(found) > 10)
    assert len({decode_dead_letter(record.value).offset for record in letters}) > 10
