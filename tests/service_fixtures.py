"""Fixtures that start real services. Each starts on first use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from deploy.dev.kafka_cluster import KafkaCluster
from deploy.dev.process import wait_until
from deploy.dev.services import ClickHouseServer, KafkaBroker
from streams.store.clickhouse.client import ClickHouseClient

TOPICS_GONE_SEC = 30.0


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with ClickHouseServer.start(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture
def clickhouse(
    clickhouse_server: ClickHouseServer, request: pytest.FixtureRequest
) -> Iterator[ClickHouseClient]:
    """A client of an empty database of the test's own."""
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    admin = ClickHouseClient(clickhouse_server.url)
    admin.run(f"CREATE DATABASE {name}")
    client = ClickHouseClient(f"{clickhouse_server.url.removesuffix('/default')}/{name}")
    yield client
    client.close()
    admin.run(f"DROP DATABASE {name}")
    admin.close()


@pytest.fixture(scope="session")
def running_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker for all tests, with its listeners for TLS. Ask for `kafka_broker`, which leaves it empty."""
    with KafkaBroker.start(tmp_path_factory.mktemp("kafka"), secure=True) as broker:
        yield broker


@pytest.fixture
def kafka_broker(running_kafka: KafkaBroker) -> Iterator[KafkaBroker]:
    """The broker without topics: their names are fixed, so each test's are deleted behind it."""
    yield running_kafka
    admin = KafkaAdminClient(bootstrap_servers=running_kafka.bootstrap)
    try:
        made = [topic for topic in admin.list_topics() if not topic.startswith("__")]
        if made:
            admin.delete_topics(made)
        assert wait_until(lambda: not set(made) & set(admin.list_topics()), timeout_sec=TOPICS_GONE_SEC), (
            "the topics of this test stay on the broker"
        )
    finally:
        admin.close()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker of the test's own, for tests that stop it."""
    with KafkaBroker.start(tmp_path / "kafka") as broker:
        yield broker


@pytest.fixture
def kafka_cluster(tmp_path: Path) -> Iterator[KafkaCluster]:
    """Three brokers of the test's own."""
    with KafkaCluster.start(tmp_path / "kafka") as cluster:
        yield cluster
