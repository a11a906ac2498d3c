"""What sending checks before and after the broker."""

import orjson
import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from deploy.dev.services import KafkaBroker
from streams.broker import require_broker
from streams.codec import decode_message, encode_message
from streams.errors import BrokerError
from streams.producer import Delivery, MessageProducer, send_messages
from streams.topics import (
    DEAD_LETTERS,
    MAX_RECORD_BYTES,
    MAX_REQUEST_BYTES,
    MESSAGES,
    MODELS,
    REVIEWS,
    VERDICTS,
    TopicSpec,
    context_spec,
    ensure_topics,
    topic_specs,
)
from tests.stream_samples import message


def test_topics_keyed_by_conversation_have_the_same_partitions() -> None:
    specs = {spec.name: spec for spec in topic_specs(6)}
    assert {MESSAGES, DEAD_LETTERS, VERDICTS, REVIEWS, MODELS} == specs.keys()
    assert {6} == {specs[name].partitions for name in (MESSAGES, VERDICTS, REVIEWS)}


def test_absent_broker_is_named() -> None:
    with pytest.raises(BrokerError, match=r"no Kafka broker answers at 127.0.0.1:1\b"):
        send_messages([message(1)], bootstrap="127.0.0.1:1")
    with pytest.raises(BrokerError, match=r"no Kafka broker answers at 127.0.0.1:1\b"):
        ensure_topics("127.0.0.1:1", topic_specs())


@pytest.mark.parametrize("address", ["", "localhost", "kafka:port", ":9092"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BrokerError, match="host:port") as caught:
        require_broker(address)
    assert not caught.value.retryable


@pytest.mark.kafka
def test_every_message_is_delivered_or_listed(kafka_broker: KafkaBroker) -> None:
    bootstrap = kafka_broker.bootstrap
    assert {
        name: count for name, count in ensure_topics(bootstrap, topic_specs(3)).items() if name == MESSAGES
    } == {MESSAGES: 3}
    # Again, with another wish: what exists stays.
    assert ensure_topics(bootstrap, [TopicSpec(MESSAGES, 9)]) == {MESSAGES: 3}
    progress: list[int] = []
    report = send_messages(
        [message(n) for n in range(2_500)], bootstrap=bootstrap, on_progress=progress.append
    )
    assert (report.delivered, report.ok) == (2_500, True)
    assert list(range(1, 2_501)) == progress
    with MessageProducer(bootstrap) as producer:
        producer.send_bytes("too large", b"k", b"x" * MAX_RECORD_BYTES)
        producer.send_bytes("just fits", b"k", b"x" * (MAX_RECORD_BYTES - 5_000))
        producer.send(message(1))
        report = producer.report()
    assert (report.delivered, [failed.name for failed in report.failed]) == (
        2,
        ["too large"],
    )


@pytest.mark.kafka
def test_topic_that_takes_too_little_is_refused_with_the_command_that_mends_it(
    kafka_broker: KafkaBroker,
) -> None:
    bootstrap = kafka_broker.bootstrap
    changelog = context_spec("redline-worker", "context", 1)
    made_by_hand = [TopicSpec(VERDICTS, 1), TopicSpec(REVIEWS, 1), TopicSpec(MODELS, 1)]
    ensure_topics(bootstrap, [*made_by_hand, TopicSpec(changelog.name, 1)])
    with pytest.raises(BrokerError) as caught:
        ensure_topics(bootstrap, [*topic_specs(1), changelog])
    assert not caught.value.retryable
    for name, needed in ((VERDICTS, MAX_RECORD_BYTES), (changelog.name, MAX_REQUEST_BYTES)):
        assert f"the topic {name} has max.message.bytes=1048588 and needs {needed}" in str(caught.value)
        assert f"--entity-name {name} --add-config max.message.bytes={needed}" in str(caught.value)
    assert REVIEWS not in str(caught.value)
    assert MODELS not in str(caught.value)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    for name, needed in ((VERDICTS, MAX_RECORD_BYTES), (changelog.name, MAX_REQUEST_BYTES)):
        admin.alter_configs([ConfigResource("topic", name, {"max.message.bytes": str(needed)})])
    admin.close()
    assert ensure_topics(bootstrap, [*topic_specs(1), changelog])[VERDICTS] == 1


@pytest.mark.kafka
def test_message_that_is_too_long_as_a_record_is_reported_in_its_turn(kafka_broker: KafkaBroker) -> None:
    """It was read from less than a record may have: what the schema does not know has become a string."""
    ensure_topics(kafka_broker.bootstrap, topic_specs(1))
    long = decode_message({**orjson.loads(encode_message(message(2))), "raw": {"parts": [""] * 250_000}})
    told: list[Delivery] = []
    report = send_messages(
        [message(1), long, message(3)], bootstrap=kafka_broker.bootstrap, on_delivery=told.append
    )
    assert ["c1-m1", "c1-m2", "c1-m3"] == [each.name for each in told]
    assert ["c1-m2"] == [each.name for each in told if each.error] == [each.name for each in report.failed]
    assert "the limit is 1,048,576" in report.failed[0].error
