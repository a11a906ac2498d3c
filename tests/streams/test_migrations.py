"""Every migration goes forward and back, and the code's columns are the database's."""

from datetime import UTC, datetime

import pytest

from streams.errors import StoreError
from streams.store.clickhouse.client import ClickHouseClient
from streams.store.clickhouse.migrate import Migration, all_migrations, applied, differences, migrate, plan
from streams.store.clickhouse.store import ClickHouseEventStore

NOW = datetime(2025, 3, 1, tzinfo=UTC)


def clock() -> datetime:
    return NOW


def tables(client: ClickHouseClient) -> set[str]:
    rows = client.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    return {name for (name,) in rows} - {"redline_migrations"}


@pytest.mark.parametrize("migration", all_migrations(), ids=lambda migration: migration.name)
def test_migration_says_what_it_does(migration: Migration) -> None:
    assert migration.forward
    assert migration.back
    for statement in migration.forward + migration.back:
        assert "now()" not in statement
        assert "DateTime64" not in statement


@pytest.mark.clickhouse
@pytest.mark.parametrize("migration", all_migrations(), ids=lambda migration: migration.name)
def test_migration_goes_forward_back_and_forward(clickhouse: ClickHouseClient, migration: Migration) -> None:
    migrate(clickhouse, clock=clock, target=migration.number - 1)
    before = tables(clickhouse)
    for _ in range(2):
        migrate(clickhouse, clock=clock, target=migration.number)
        assert migration.number == applied(clickhouse)
        assert before != tables(clickhouse)
        migrate(clickhouse, clock=clock, target=migration.number - 1)
        assert before == tables(clickhouse)


@pytest.mark.clickhouse
def test_declared_columns_are_the_migrated_ones(clickhouse: ClickHouseClient) -> None:
    migrate(clickhouse, clock=clock)
    assert differences(clickhouse) == []


@pytest.mark.clickhouse
def test_plan_prints_the_sql_and_changes_nothing(clickhouse: ClickHouseClient) -> None:
    printed = "\n".join(str(step) for step in plan(clickhouse))
    assert "-- m0001_create_messages forward" in printed
    assert "CREATE TABLE verdicts" in printed
    assert set() == tables(clickhouse)
    migrate(clickhouse, clock=clock)
    assert plan(clickhouse) == ()
    assert [step.direction for step in plan(clickhouse, target=0)] == ["back", "back"]


@pytest.mark.clickhouse
def test_store_names_the_command_when_not_migrated(clickhouse: ClickHouseClient) -> None:
    with pytest.raises(StoreError, match="redline migrate"):
        ClickHouseEventStore(clickhouse, clock=clock)


@pytest.mark.clickhouse
def test_unknown_target_is_refused(clickhouse: ClickHouseClient) -> None:
    with pytest.raises(StoreError, match="there is no migration 99"):
        plan(clickhouse, target=99)


@pytest.mark.clickhouse
def test_refused_statement_is_final_and_quotes_the_server(clickhouse: ClickHouseClient) -> None:
    with pytest.raises(StoreError) as caught:
        clickhouse.run("SELECT * FROM nowhere")
    assert not caught.value.retryable
    assert "nowhere" in str(caught.value)


def test_absent_server_is_retryable() -> None:
    client = ClickHouseClient("clickhouse://default:geheim@127.0.0.1:1/default")
    with pytest.raises(StoreError) as caught:
        client.query("SELECT 1")
    assert caught.value.retryable
    assert "geheim" not in str(caught.value)
