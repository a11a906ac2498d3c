"""Every kind of event store, behind one fixture: what holds for one holds for all."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from streams.store.base import EventStore
from streams.store.clickhouse.client import Client
from streams.store.clickhouse.migrate import migrate
from streams.store.clickhouse.store import ClickHouseEventStore
from streams.store.sqlite import SqliteEventStore
from tests.streams.chdb_client import ChdbClient

KINDS = [
    "sqlite",
    pytest.param("clickhouse", marks=pytest.mark.clickhouse),
    pytest.param("modern clickhouse", marks=pytest.mark.clickhouse),
]


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def modern_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbClient]:
    engine = ChdbClient(tmp_path_factory.mktemp("modern"))
    yield engine
    engine.end()


@pytest.fixture
def modern_clickhouse(modern_engine: ChdbClient) -> Iterator[Client]:
    """An empty database of the test's own on the modern engine."""
    name = f"test_{uuid4().hex}"
    modern_engine.run(f"CREATE DATABASE {name}")
    modern_engine.run(f"USE {name}")
    yield modern_engine
    modern_engine.run("USE default")
    modern_engine.run(f"DROP DATABASE {name}")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    """An empty event store of each kind."""
    if request.param == "sqlite":
        opened = SqliteEventStore(tmp_path / "events.db")
        yield opened
        opened.close()
        return
    client: Client = request.getfixturevalue(request.param.replace("modern clickhouse", "modern_clickhouse"))
    migrate(client, clock=utc_now)
    yield ClickHouseEventStore(client, clock=utc_now)
