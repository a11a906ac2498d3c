"""Fixtures that start real services. Import them into a folder's conftest; each starts on first use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.dev.services import ClickHouseServer, KafkaBroker
from streams.store.clickhouse.client import ClickHouseClient


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


@pytest.fixture
def kafka_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker of the test's own: topics and groups have fixed names."""
    with KafkaBroker.start(tmp_path / "kafka") as broker:
        yield broker
