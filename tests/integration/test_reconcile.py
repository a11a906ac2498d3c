"""Reconciliation on a real broker: what is whole is said to be, and each missing record is named."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.dev.services import KafkaBroker
from deploy.settings import load_settings
from detectors.domain import Message
from streams import reconcile as reconcile_module
from streams.codec import encode_message, encode_verdict
from streams.dead_letter_events import DeadLetterEvent, encode_resolution, event_of_letter
from streams.dead_letters import MAX_ORIGINAL_BYTES, DeadLetter, dead_letter, encode_dead_letter
from streams.identity import content_hash
from streams.origin import Origin
from streams.reconcile import Balance, reconcile
from streams.store.base import StoredMessage, StoredVerdict
from streams.store.sqlite import SqliteEventStore
from streams.topic_reader import Stretch, TopicReader
from streams.topics import (
    DEAD_LETTERS,
    MAX_REQUEST_BYTES,
    MESSAGES,
    SINK_GROUP,
    VERDICTS,
    WORKER_GROUP,
    ensure_topics,
    topic_specs,
)
from tests.stream_samples import message, verdict

pytestmark = pytest.mark.kafka

NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Chain:
    """Writes each step of a message's way where it is told to, at a time of its choice."""

    def __init__(self, broker: KafkaBroker, store: SqliteEventStore) -> None:
        self.broker = broker
        self.store = store
        self._producer = KafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=MAX_REQUEST_BYTES)

    def produce(self, value: bytes | None, *, partition: int = 0, at: datetime = NOW - HOUR) -> Origin:
        placed = self._send(MESSAGES, value, partition, at)
        return Origin(MESSAGES, partition, placed)

    def judge(self, said: Message, origin: Origin, *, stored: bool = True) -> None:
        judged = replace(
            verdict(said.message_id, conversation=said.conversation_id), content_hash=content_hash(said)
        )
        self._send(VERDICTS, encode_verdict(judged), 0, NOW)
        if stored:
            self.store.write_messages([StoredMessage(said, origin)])
            self.store.write_verdicts([StoredVerdict(judged)])

    def bury(self, origin: Origin, value: bytes | None, *, stored: bool = True) -> None:
        letter = _letter(origin, value)
        self._send(DEAD_LETTERS, encode_dead_letter(letter), 0, NOW)
        if stored:
            self.store.write_dead_letters([event_of_letter(letter)])

    def drop(self, origin: Origin) -> None:
        note = DeadLetterEvent(origin, "dropped", NOW + timedelta(seconds=1), actor="li", why="a test")
        self._send(DEAD_LETTERS, encode_resolution(note), 0, NOW)

    def worker_has_read_all(self) -> None:
        """As a worker says it: by committing the ends of the partitions."""
        consumer = KafkaConsumer(bootstrap_servers=self.broker.bootstrap, group_id=WORKER_GROUP)
        places = [TopicPartition(MESSAGES, number) for number in (0, 1)]
        ends = consumer.end_offsets(places)
        consumer.commit({place: OffsetAndMetadata(end, "", -1) for place, end in ends.items()})
        consumer.close()

    def sink_has_stored(self, topic: str, up_to: int) -> None:
        """As a sink says it of a first partition."""
        consumer = KafkaConsumer(bootstrap_servers=self.broker.bootstrap, group_id=SINK_GROUP)
        consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(up_to, "", -1)})
        consumer.close()

    def delete_before(self, offset: int, topic: str = MESSAGES) -> None:
        """As retention does, of the first partition."""
        admin = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        admin.delete_records({TopicPartition(topic, 0): offset})
        admin.close()

    def balance(self, *, with_store: bool = True, start: datetime = NOW - 3 * HOUR) -> Balance:
        store = self.store if with_store else None
        return reconcile(self.broker.bootstrap, store, start=start, end=NOW, now=NOW)

    def close(self) -> None:
        self._producer.close()
        self.store.close()

    def _send(self, topic: str, value: bytes | None, partition: int, at: datetime) -> int:
        sent = self._producer.send(
            topic, key=b"k", value=value, partition=partition, timestamp_ms=int(at.timestamp() * 1000)
        )
        return int(sent.get(timeout=30).offset)


def _letter(origin: Origin, value: bytes | None) -> DeadLetter:
    return dead_letter(
        None,
        reason="bad_json",
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        key=None,
        original=value,
        at=NOW,
    )


@pytest.fixture
def chain(kafka_broker: KafkaBroker, tmp_path: Path) -> Iterator[Chain]:
    ensure_topics(kafka_broker.bootstrap, topic_specs(2))
    opened = Chain(kafka_broker, SqliteEventStore(tmp_path / "data" / "events.sqlite"))
    yield opened
    opened.close()


def test_every_record_is_accounted_for_or_named(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [message(n) for n in range(6)]
    for number, each in enumerate(said[:4]):
        chain.judge(each, chain.produce(encode_message(each), partition=number % 2))
    # Sent twice: two records, one verdict on these words.
    chain.produce(encode_message(said[0]), at=NOW - 2 * HOUR)
    chain.bury(chain.produce(b"poison"), b"poison")
    whole = chain.balance()
    assert whole.balanced
    total = whole.total()
    assert (6, 5, 1, 1, 6, 0) == (
        total.produced,
        total.judged,
        total.dead,
        total.open_letters,
        total.stored,
        total.gaps,
    )
    assert {(NOW - HOUR, 0): 3, (NOW - HOUR, 1): 2, (NOW - 2 * HOUR, 0): 1} == {
        place: count.produced for place, count in whole.hours.items()
    }

    lost = chain.produce(encode_message(said[4]))
    other_words = chain.produce(encode_message(message(0, text="换一句话")))
    poison = chain.produce(b"more poison", partition=1)
    not_stored = chain.produce(encode_message(said[5]))
    chain.judge(said[5], not_stored, stored=False)
    unknown = chain.produce(None)
    chain.bury(unknown, None, stored=False)
    chain.produce(encode_message(message(99)), at=NOW - timedelta(seconds=5))
    chain.worker_has_read_all()
    broken = chain.balance()
    assert {
        (lost, "not judged"),
        (other_words, "not judged"),
        (poison, "not judged"),
        (not_stored, "message not stored"),
        (not_stored, "verdict not stored"),
        (unknown, "dead letter not stored"),
    } == {(gap.origin, gap.kind) for gap in broken.gaps}
    assert 1 == broken.total().in_flight
    without = chain.balance(with_store=False)
    assert {lost, other_words, poison} == {gap.origin for gap in without.gaps}

    monkeypatch.setenv("REDLINE_KAFKA", chain.broker.bootstrap)
    monkeypatch.setenv("REDLINE_DATA_DIR", str(tmp_path / "data"))
    load_settings.cache_clear()
    chain.produce(encode_message(message(100)))  # the worker is behind
    span = ["--from", (NOW - 3 * HOUR).isoformat(), "--to", NOW.isoformat()]
    ended = CliRunner().invoke(app, ["reconcile", *span])
    assert 3 == ended.exit_code
    assert f"{lost} of 2025-03-01 11:00:00+0000: not judged" in ended.stderr
    assert "not accounted for; 1 of these wait for the worker" in ended.stderr
    told = orjson.loads(CliRunner().invoke(app, ["reconcile", *span, "--json"]).stdout)
    assert (False, 8) == (told["balanced"], len(told["gaps"]))
    load_settings.cache_clear()


def test_a_letter_of_another_record_at_the_same_place_accounts_for_nothing(chain: Chain) -> None:
    """As after the topic was made anew: the letters of the old one name places that the new one has too."""
    lost = chain.produce(encode_message(message(1)))
    chain.bury(lost, b"what lay there before")
    failed_later = chain.produce(b"poison")
    chain.bury(failed_later, b"what lay there before")
    chain.bury(failed_later, b"poison", stored=False)
    large, dropped = b"x" * (MAX_ORIGINAL_BYTES + 1), chain.produce(b"dropped")
    chain.bury(chain.produce(large), large)
    chain.bury(dropped, b"dropped")
    chain.drop(dropped)
    chain.worker_has_read_all()
    found = chain.balance()
    assert {(lost, "not judged"), (failed_later, "dead letter not stored")} == {
        (gap.origin, gap.kind) for gap in found.gaps
    }
    assert (3, 2) == (found.total().dead, found.total().open_letters)


def test_messages_that_were_deleted_before_anybody_judged_them_are_a_gap(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [message(n) for n in range(6)]
    for each in said[:2]:
        chain.judge(each, chain.produce(encode_message(each)))
    chain.worker_has_read_all()
    for each in said[2:]:
        chain.produce(encode_message(each))
    chain.delete_before(2)
    assert [] == chain.balance().deleted, "what is gone was judged"
    chain.delete_before(6)
    lost = chain.balance()
    assert ([], [Stretch(MESSAGES, 0, 2, 6)], False) == (lost.gaps, lost.deleted, lost.balanced)

    monkeypatch.setenv("REDLINE_KAFKA", chain.broker.bootstrap)
    monkeypatch.setenv("REDLINE_DATA_DIR", str(tmp_path / "data"))
    load_settings.cache_clear()
    ended = CliRunner().invoke(app, ["reconcile"])
    assert 3 == ended.exit_code
    assert "advisor.messages:0:2 to 5: deleted before it was judged" in ended.stderr
    assert "4 offsets were deleted before anybody judged them" in ended.stderr
    told = orjson.loads(CliRunner().invoke(app, ["reconcile", "--json"]).stdout)
    assert (False, [{"partition": 0, "start": 2, "end": 6}]) == (told["balanced"], told["deleted"])
    load_settings.cache_clear()


def test_what_was_deleted_before_the_sink_stored_it_is_a_gap(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        said = message(n)
        chain.judge(said, chain.produce(encode_message(said)))
        chain.bury(chain.produce(b"poison"), b"poison")
    chain.worker_has_read_all()
    chain.sink_has_stored(MESSAGES, 8)
    chain.sink_has_stored(VERDICTS, 1)
    chain.sink_has_stored(DEAD_LETTERS, 2)
    chain.delete_before(4)
    chain.delete_before(1, VERDICTS)
    chain.delete_before(2, DEAD_LETTERS)
    assert [] == chain.balance().deleted_unstored, "what is gone was stored"
    chain.delete_before(8)
    chain.delete_before(3, VERDICTS)
    chain.delete_before(4, DEAD_LETTERS)
    lost = chain.balance()
    assert [Stretch(DEAD_LETTERS, 0, 2, 4), Stretch(VERDICTS, 0, 1, 3)] == lost.deleted_unstored
    assert ([], [], False) == (lost.gaps, lost.deleted, lost.balanced)
    assert chain.balance(with_store=False).balanced

    monkeypatch.setenv("REDLINE_KAFKA", chain.broker.bootstrap)
    monkeypatch.setenv("REDLINE_DATA_DIR", str(tmp_path / "data"))
    load_settings.cache_clear()
    ended = CliRunner().invoke(app, ["reconcile"])
    assert 3 == ended.exit_code
    assert "compliance.verdicts:0:1 to 2: deleted before it was stored" in ended.stderr
    assert "4 offsets were deleted before the sink stored them" in ended.stderr
    told = orjson.loads(CliRunner().invoke(app, ["reconcile", "--json"]).stdout)
    assert {"topic": VERDICTS, "partition": 0, "start": 1, "end": 3} in told["deleted_unstored"]
    load_settings.cache_clear()


def test_it_is_told_where_the_place_of_a_group_may_not_be_seen(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = message(1)
    chain.judge(said, chain.produce(encode_message(said)))
    monkeypatch.setenv("REDLINE_KAFKA", chain.broker.bootstrap)
    monkeypatch.setenv("REDLINE_DATA_DIR", str(tmp_path / "data"))
    load_settings.cache_clear()
    assert "not checked" not in CliRunner().invoke(app, ["reconcile"]).stderr
    # The development broker has no access lists: this is what the look-up gives where one refuses it.
    monkeypatch.setattr(reconcile_module, "committed_offsets", lambda bootstrap, group: None)
    told = CliRunner().invoke(app, ["reconcile"]).stderr
    for group in (WORKER_GROUP, SINK_GROUP):
        assert f"not checked: what was deleted before the group {group} came to it" in told
    as_json = orjson.loads(CliRunner().invoke(app, ["reconcile", "--json"]).stdout)
    assert [WORKER_GROUP, SINK_GROUP] == as_json["unseen_groups"]
    without = CliRunner().invoke(app, ["reconcile", "--no-store"]).stderr
    assert SINK_GROUP not in without
    load_settings.cache_clear()


def test_reading_goes_on_with_what_is_left_where_the_broker_deletes_under_it(chain: Chain) -> None:
    for number in range(6):
        chain.produce(b"%d" % number)
    with TopicReader(chain.broker.bootstrap) as reader:
        stretches = reader.stretches(MESSAGES)
        chain.delete_before(4)
        assert [b"4", b"5"] == [record.value for record in reader.read(stretches)]
