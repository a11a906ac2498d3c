"""
What every stream engine must keep, on a real broker: nothing lost, order and context kept, whatever happens.

A test module for an engine subclasses `EngineSuite` and names the engine; see `worker_under_test.ENGINES`.
The judge under test gives the ids before a message as its reason, so a verdict also proves its context.
"""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from kafka import KafkaAdminClient, TopicPartition

from deploy.dev.kafka_cluster import KafkaCluster
from deploy.dev.process import wait_until
from deploy.dev.services import KafkaBroker
from detectors.domain import Message
from streams.codec import decode_verdict, encode_message
from streams.context import MemoryContext
from streams.dead_letters import decode_dead_letter
from streams.producer import send_messages
from streams.table_context import DEFAULT_MAX_MESSAGES
from streams.topics import DEAD_LETTERS, MESSAGES, VERDICTS, ensure_topics, topic_specs
from tests.integration.broker_tools import (
    PATIENCE_SEC,
    HasBootstrap,
    WorkerProcess,
    committed,
    read_until,
    send_in_transactions,
    send_raw,
    supervised,
    worker,
)
from tests.stream_samples import message

PARTITIONS = 2
MEBI = 1 << 20


def chats(conversations: int, length: int) -> list[Message]:
    """Several conversations, woven into each other as they are on a real topic."""
    return [message(n, f"c{c}") for n in range(length) for c in range(conversations)]


def contexts(messages: Sequence[Message]) -> dict[str, set[str]]:
    """What the judge under test must say of each message, once or more often: the ids before it."""
    context = MemoryContext()
    turns = [context.turn(each) for each in messages]
    return {turn.message.message_id: {",".join(m.message_id for m in turn.before)} for turn in turns}


def reasons(records: Sequence[Any]) -> dict[str, set[str]]:
    """Every reason that was given for each message, over all its verdicts."""
    found: dict[str, set[str]] = {}
    for record in records:
        verdict = decode_verdict(record.value)
        assert verdict.conversation_id.encode() == record.key
        found.setdefault(verdict.message_id, set()).add(verdict.findings[0].reason)
    return found


def differences(
    wanted: Mapping[str, set[str]], found: Mapping[str, set[str]]
) -> dict[str, tuple[set[str] | None, set[str] | None]]:
    """Messages for which something else was said than wanted: (wanted, found)."""
    return {
        name: (wanted.get(name), found.get(name))
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    }


def covers(wanted: int) -> Callable[[list[Any]], bool]:
    return lambda records: len({decode_verdict(record.value).message_id for record in records}) >= wanted


def first_times(records: Sequence[Any]) -> dict[str, list[str]]:
    """The messages of each conversation in the order in which they first got a verdict."""
    order: dict[str, dict[str, None]] = {}
    for record in records:
        verdict = decode_verdict(record.value)
        order.setdefault(verdict.conversation_id, {})[verdict.message_id] = None
    return {conversation: list(ids) for conversation, ids in order.items()}


def in_order(messages: Sequence[Message]) -> dict[str, list[str]]:
    """What `first_times` must give."""
    order: dict[str, list[str]] = {}
    for each in messages:
        order.setdefault(each.conversation_id, []).append(each.message_id)
    return order


def replicas(cluster: KafkaCluster) -> dict[str, int]:
    """The fewest copies that a partition has, by topic."""
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    try:
        return {
            topic["name"]: min(len(partition["replica_nodes"]) for partition in topic["partitions"])
            for topic in admin.describe_topics()
        }
    finally:
        admin.close()


def delete_before(broker: HasBootstrap, offset: int) -> None:
    """As retention does, of the first partition of the messages."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.delete_records({TopicPartition(MESSAGES, 0): offset})
    admin.close()


def add_partition(broker: HasBootstrap) -> None:
    """To the messages, behind the back of redline."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_partitions({MESSAGES: PARTITIONS + 1})
    assert wait_until(
        lambda: len(admin.describe_topics([MESSAGES])[0]["partitions"]) > PARTITIONS, timeout_sec=30
    )
    admin.close()


class EngineSuite:
    """Subclass as `TestXEngine`, with the engine's name."""

    engine: ClassVar[str]

    def worker(
        self, broker: HasBootstrap, directory: Path, *options: str, status: bool = False
    ) -> AbstractContextManager[WorkerProcess]:
        return worker(broker, directory, *options, engine=self.engine, status=status)

    def test_verdicts_for_messages_and_dead_letters_for_the_rest(
        self, kafka_broker: KafkaBroker, tmp_path: Path
    ) -> None:
        ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
        messages = chats(conversations=5, length=30)
        future = encode_message(message(50, "c4")).replace(b"{", b'{"schema":"redline.message.v2",', 1)
        skewed = replace(message(51, "c4"), sent_at=message(1).sent_at.replace(year=2099))
        bad: list[tuple[bytes | None, bytes | None]] = [
            (b"c0", b"\xff\x00 not json"),
            (b"c1", b'{"message_id": "x"}'),
            (b"c2", None),
            (None, b"x" * 1_500_000),
            (b"c3", encode_message(message(99, "c3", text="boom"))),
            (b"c4", future),
            (b"c4", encode_message(skewed)),
            (b"another key", encode_message(message(52, "c4"))),
        ]
        with self.worker(kafka_broker, tmp_path / "worker", status=True) as running:
            assert send_messages(messages[:70], bootstrap=kafka_broker.bootstrap).delivered == 70
            send_raw(kafka_broker, MESSAGES, bad)
            # Sent again, as a CRM does after a restart of its own.
            assert send_messages(messages[60:], bootstrap=kafka_broker.bootstrap).ok
            verdicts = read_until(kafka_broker, VERDICTS, covers(len(messages)), while_alive=running)
            letters = read_until(kafka_broker, DEAD_LETTERS, lambda found: len(found) >= len(bad))
            assert running.health() == (200, [])
            assert running.ask_to_stop() == 0

        expected, found = contexts(messages), reasons(verdicts)
        assert expected.keys() == found.keys()
        # `boom` was judged by nobody, but it was said: it is part of what comes after it.
        for name, (whole,) in ((n, w) for n, w in expected.items() if not n.startswith("c3")):
            assert whole in found[name]
            # Of what was sent again when it was long done, the oldest of a full context may be forgotten.
            full = whole.count(",") + 1 == DEFAULT_MAX_MESSAGES
            assert all(
                reason == whole or (full and reason and whole.endswith(f",{reason}"))
                for reason in found[name]
            )
        assert in_order(messages) == first_times(verdicts)
        decoded = [decode_dead_letter(record.value) for record in letters]
        assert {key for key, _ in bad} == {letter.key for letter in decoded}
        wanted = "invalid_utf8 missing_field tombstone too_large pipeline_error unknown_schema clock_skew wrong_key"
        assert sorted(wanted.split()) == sorted(letter.reason for letter in decoded)
        originals = {letter.key: letter.original for letter in decoded}
        assert (b"\xff\x00 not json", None) == (originals[b"c0"], originals[b"c2"])
        for letter in decoded:
            assert letter.topic == MESSAGES
            assert letter.offset >= 0
            assert "customer" not in letter.detail
        assert all(letter.stack_digest for letter in decoded if letter.reason != "tombstone")
        assert 1_500_000 in {letter.original_size for letter in decoded}

    def test_asked_to_stop_it_ends_what_it_began(self, kafka_broker: KafkaBroker, tmp_path: Path) -> None:
        """After SIGTERM every verdict is with the broker, and what it judged is not read again."""
        ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
        messages = chats(conversations=6, length=60)
        assert send_messages(messages, bootstrap=kafka_broker.bootstrap).ok
        with self.worker(kafka_broker, tmp_path / "worker", "--pause-sec", "0.01") as running:
            read_until(kafka_broker, VERDICTS, covers(60), while_alive=running)
            assert running.ask_to_stop() == 0
        judged = read_until(kafka_broker, VERDICTS, covers(60))
        assert len(judged) < len(messages), "the worker was asked too late to show anything"
        assert len(judged) == sum(committed(kafka_broker).values())
        with self.worker(kafka_broker, tmp_path / "worker") as running:
            verdicts = read_until(kafka_broker, VERDICTS, covers(len(messages)), while_alive=running)
            assert running.ask_to_stop() == 0
        assert differences(contexts(messages), reasons(verdicts)) == {}
        assert len(messages) == len(read_until(kafka_broker, VERDICTS, covers(len(messages))))

    def test_killed_worker_loses_nothing_and_forgets_nothing(
        self, kafka_broker: KafkaBroker, tmp_path: Path
    ) -> None:
        ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
        # Long conversations: what is read again lies further back than a turn shows.
        messages = chats(conversations=3, length=120)
        assert send_messages(messages, bootstrap=kafka_broker.bootstrap).ok
        seen = 0
        for share in (0.2, 0.5):
            with self.worker(kafka_broker, tmp_path / "worker", "--pause-sec", "0.01") as running:
                wanted = int(len(messages) * share)
                seen = len(read_until(kafka_broker, VERDICTS, covers(wanted), while_alive=running))
                time.sleep(0.3)
                running.kill()
        assert seen < len(messages), "the worker was killed too late to show anything"
        with self.worker(kafka_broker, tmp_path / "worker") as running:
            verdicts = read_until(kafka_broker, VERDICTS, covers(len(messages)), while_alive=running)
            assert running.ask_to_stop() == 0
        # Also a verdict that was given twice was given with the same messages before it.
        assert differences(contexts(messages), reasons(verdicts)) == {}

    def test_workers_come_and_go_and_nothing_is_lost(self, kafka_broker: KafkaBroker, tmp_path: Path) -> None:
        """A storm of rebalances with one to four workers: some join, one is killed, one is asked to stop."""
        ensure_topics(kafka_broker.bootstrap, topic_specs(4))
        messages = chats(conversations=12, length=40)
        parts = [messages[at : at + 80] for at in range(0, len(messages), 80)]
        with ExitStack() as workers:

            def start(name: str) -> WorkerProcess:
                options = ("--partitions", "4", "--pause-sec", "0.002")
                return workers.enter_context(self.worker(kafka_broker, tmp_path / name, *options))

            def send(part: list[Message]) -> None:
                assert send_messages(part, bootstrap=kafka_broker.bootstrap).ok

            one = start("one")
            send(parts[0])
            read_until(kafka_broker, VERDICTS, covers(40), while_alive=one)
            two = start("two")
            send(parts[1])
            three, four = start("three"), start("four")
            send(parts[2])
            read_until(kafka_broker, VERDICTS, covers(200), while_alive=two)
            one.kill()
            send(parts[3])
            # It may be asked before it began anything; then the signal itself ends it, or Faust trips over
            # being stopped while it starts.
            allowed = (0,) if "Worker ready" in three.text() else (0, 1, -signal.SIGTERM)
            assert three.ask_to_stop() in allowed
            send(parts[4])
            five = start("five")
            send(parts[5])
            read_until(kafka_broker, VERDICTS, covers(400), while_alive=two)
            two.kill()
            verdicts = read_until(kafka_broker, VERDICTS, covers(len(messages)), while_alive=four)
            assert five.process.poll() is None
        assert differences(contexts(messages), reasons(verdicts)) == {}
        assert in_order(messages) == first_times(verdicts)

    def test_holes_of_the_topic_itself_stop_nobody_where_nothing_was_committed_yet(
        self, kafka_broker: KafkaBroker, tmp_path: Path
    ) -> None:
        """A transaction leaves an offset without a record, here before anything of the topic was ever committed."""
        ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
        messages = chats(conversations=6, length=20)
        send_in_transactions(kafka_broker, [[each] for each in messages[:12]])
        assert send_messages(messages[12:], bootstrap=kafka_broker.bootstrap).ok
        with self.worker(kafka_broker, tmp_path / "worker") as running:
            verdicts = read_until(kafka_broker, VERDICTS, covers(len(messages)), while_alive=running)
            assert running.ask_to_stop() == 0
            assert "before anybody judged them" not in running.text()
        assert differences(contexts(messages), reasons(verdicts)) == {}

    def test_messages_that_the_broker_deleted_before_they_were_judged_are_told(
        self, kafka_broker: KafkaBroker, tmp_path: Path
    ) -> None:
        ensure_topics(kafka_broker.bootstrap, topic_specs(1))
        messages = chats(conversations=1, length=30)
        with self.worker(kafka_broker, tmp_path / "worker") as running:
            assert send_messages(messages[:10], bootstrap=kafka_broker.bootstrap).ok
            read_until(kafka_broker, VERDICTS, covers(10), while_alive=running)
            assert running.ask_to_stop() == 0
        assert send_messages(messages[10:], bootstrap=kafka_broker.bootstrap).ok
        delete_before(kafka_broker, 25)
        with self.worker(kafka_broker, tmp_path / "worker", status=True) as running:
            read_until(kafka_broker, VERDICTS, covers(15), while_alive=running)
            told = "redline_deleted_unjudged_total 15.0"
            assert wait_until(lambda: told in running.metrics(), timeout_sec=PATIENCE_SEC)
            assert running.health() == (200, [])
            assert running.ask_to_stop() == 0
            assert "the broker deleted offsets 10 to 24 before anybody judged them" in running.text()
        assert {0: 30} == committed(kafka_broker)

    def test_worker_stops_loudly_past_the_limit(self, kafka_broker: KafkaBroker, tmp_path: Path) -> None:
        ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
        send_raw(kafka_broker, MESSAGES, [(b"k", b"poison %d" % n) for n in range(40)])
        with self.worker(kafka_broker, tmp_path / "worker", "--max-dead", "10") as running:
            assert running.process.wait(timeout=PATIENCE_SEC) == 1
            assert "the worker stops" in running.text()
            assert "Look at the dead-letter topic" in running.text()
        letters = read_until(kafka_broker, DEAD_LETTERS, lambda found: len(found) > 10)
        assert len({decode_dead_letter(record.value).offset for record in letters}) > 10

    def test_added_partitions_are_told_before_conversations_are_mixed(
        self, kafka_broker: KafkaBroker, tmp_path: Path
    ) -> None:
        ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
        assert send_messages([message(1)], bootstrap=kafka_broker.bootstrap).ok
        with self.worker(kafka_broker, tmp_path / "worker") as running:
            read_until(kafka_broker, VERDICTS, covers(1), while_alive=running)
            assert running.ask_to_stop() == 0
        add_partition(kafka_broker)
        with self.worker(kafka_broker, tmp_path / "worker") as running:
            assert running.process.wait(timeout=PATIENCE_SEC) == 1
            assert "somebody added partitions" in running.text()

    def test_partitions_that_are_added_to_a_running_worker_stop_it_loudly(
        self, kafka_broker: KafkaBroker, tmp_path: Path
    ) -> None:
        ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
        with self.worker(kafka_broker, tmp_path / "worker") as running:
            assert send_messages([message(1)], bootstrap=kafka_broker.bootstrap).ok
            read_until(kafka_broker, VERDICTS, covers(1), while_alive=running)
            add_partition(kafka_broker)
            assert send_messages(chats(conversations=12, length=1), bootstrap=kafka_broker.bootstrap).ok
            assert running.process.wait(timeout=PATIENCE_SEC) == 1
            assert "somebody added partitions" in running.text()

    def test_slow_judge_lets_messages_wait_on_the_broker_not_in_memory(
        self, kafka_broker: KafkaBroker, tmp_path: Path
    ) -> None:
        ensure_topics(kafka_broker.bootstrap, topic_specs(PARTITIONS))
        size, number, growth = 5_000, 4_000, 32 * MEBI  # three bytes a character: 60 MB in all
        # Few conversations: what they remember is bounded, and full before the first look.
        messages = [message(n, f"c{n % 4}", text="您" * size) for n in range(number)]
        assert send_messages(messages, bootstrap=kafka_broker.bootstrap).ok
        with self.worker(kafka_broker, tmp_path / "worker", "--pause-sec", "0.003") as running:
            read_until(kafka_broker, VERDICTS, covers(300), while_alive=running)
            before = running.memory_bytes()
            seen = read_until(kafka_broker, VERDICTS, covers(1_200), while_alive=running)
            grown = running.memory_bytes() - before
            assert grown < growth
        assert len(seen) < number, "nothing waited"

    def test_broker_that_is_away_is_told_by_health_and_borne_with(
        self, own_kafka: KafkaBroker, tmp_path: Path
    ) -> None:
        """Restarted in the same place: the worker goes on or ends and is started again; nothing is lost."""
        ensure_topics(own_kafka.bootstrap, topic_specs(PARTITIONS))
        messages = chats(conversations=6, length=40)
        assert send_messages(messages[:120], bootstrap=own_kafka.bootstrap).ok
        with self.worker(own_kafka, tmp_path / "worker", "--silence-sec", "3", status=True) as running:
            read_until(own_kafka, VERDICTS, covers(120), while_alive=running)
            assert running.health() == (200, [])
            own_kafka.stop()
            assert wait_until(
                lambda: running.health()[0] == 503 or running.process.poll() is not None,
                timeout_sec=PATIENCE_SEC,
            )
            running.kill()
        port = own_kafka.process.ports["broker"]
        with (
            KafkaBroker.start(tmp_path / "kafka", port=port) as again,
            supervised(again, tmp_path / "worker", engine=self.engine) as lives,
        ):
            read_until(again, VERDICTS, covers(60), lives=lives)
            again.stop()
            with KafkaBroker.start(tmp_path / "kafka", port=port) as third:
                assert send_messages(messages[120:], bootstrap=third.bootstrap).ok
                verdicts = read_until(third, VERDICTS, covers(len(messages)), lives=lives)
        assert differences(contexts(messages), reasons(verdicts)) == {}

    def test_one_of_three_brokers_dies(self, kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
        """Nothing is said of replication: the topics and the context have that of the cluster."""
        ensure_topics(kafka_cluster.bootstrap, topic_specs(PARTITIONS))
        messages = chats(conversations=6, length=40)
        with supervised(kafka_cluster, tmp_path / "worker", engine=self.engine) as lives:
            assert send_messages(messages[:120], bootstrap=kafka_cluster.bootstrap).ok
            read_until(kafka_cluster, VERDICTS, covers(60), lives=lives)
            assert {3} == set(replicas(kafka_cluster).values())
            kafka_cluster.nodes[1].stop()
            assert send_messages(messages[120:], bootstrap=kafka_cluster.bootstrap).ok
            verdicts = read_until(kafka_cluster, VERDICTS, covers(len(messages)), lives=lives)
        assert differences(contexts(messages), reasons(verdicts)) == {}
