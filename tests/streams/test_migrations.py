"""Every migration goes forward and back, and the code's columns are the database's."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.dev.process import wait_until
from deploy.dev.services import ClickHouseServer
from deploy.settings import load_settings
from detectors.domain import Outcome
from streams.codec import encode_verdict
from streams.errors import StoreError
from streams.identity import content_hash
from streams.origin import Origin
from streams.store.base import StoreCounts, StoredMessage, StoredVerdict
from streams.store.clickhouse.client import ClickHouseClient, Client
from streams.store.clickhouse.migrate import (
    Migration,
    all_migrations,
    applied,
    differences,
    migrate,
    plan,
    rows_lost,
)
from streams.store.clickhouse.store import ClickHouseEventStore
from streams.store.rows import microseconds
from tests.stream_samples import message, verdict

NOW = datetime(2025, 3, 1, tzinfo=UTC)
NAMES = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = %(table)s"
MESSAGES_TOPIC = "advisor.messages"
REST = (
    '{"message_id":"m1","conversation_id":"c1","sent_at":"2025-03-01T00:00:00+00:00","speaker":"advisor",'
    '"language":"zh"}'
)


def clock() -> datetime:
    return NOW


def columns(client: Client) -> set[tuple[str, str, str]]:
    rows = client.query("SELECT table, name, type FROM system.columns WHERE database = currentDatabase()")
    return {(table, name, kind) for table, name, kind in rows if table != "redline_migrations"}


def schema(client: Client) -> set[tuple[str, ...]]:
    """The columns, and what the views select."""
    views = client.query(
        "SELECT name, create_table_query FROM system.tables "
        "WHERE database = currentDatabase() AND engine = 'View'"
    )
    return columns(client) | {(name, query) for name, query in views}


@pytest.fixture
def clickhouse_url(clickhouse: ClickHouseClient, clickhouse_server: ClickHouseServer) -> str:
    ((database,),) = clickhouse.query("SELECT currentDatabase()")
    return f"{clickhouse_server.url.removesuffix('/default')}/{database}"


@pytest.fixture(params=["clickhouse", "modern_clickhouse"])
def client(request: pytest.FixtureRequest) -> Client:
    """An empty database on ClickHouse 18.16, and on the modern engine."""
    found: Client = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("migration", all_migrations(), ids=lambda migration: migration.name)
def test_migration_says_what_it_does(migration: Migration) -> None:
    assert migration.forward
    assert migration.back
    for statement in migration.forward + migration.back:
        assert "now()" not in statement
        assert "DateTime64" not in statement


@pytest.mark.clickhouse
@pytest.mark.parametrize("migration", all_migrations(), ids=lambda migration: migration.name)
def test_migration_goes_forward_back_and_forward(client: Client, migration: Migration) -> None:
    migrate(client, clock=clock, target=migration.number - 1)
    before = schema(client)
    for _ in range(2):
        migrate(client, clock=clock, target=migration.number)
        assert migration.number == applied(client)
        assert before != schema(client)
        migrate(client, clock=clock, target=migration.number - 1)
        assert before == schema(client)


@pytest.mark.clickhouse
def test_declared_columns_are_the_migrated_ones(client: Client) -> None:
    migrate(client, clock=clock)
    assert differences(client) == []


SAID = StoredMessage(message(1), Origin(MESSAGES_TOPIC, 0, 1))
SAID_LATER = StoredMessage(message(2), Origin(MESSAGES_TOPIC, 0, 2))
TOLD = ("advisor", "", "zh", "", "", "", "", "保本💰", REST)
OLD_MESSAGE: tuple[object, ...] = ("m1", "c1", NOW, 1, -1, *TOLD, MESSAGES_TOPIC, 0, 7, 5)
FOUND = (["guaranteed_return"], ["high"], [0.97])
BODY = encode_verdict(verdict("m1", outcome=Outcome.FLAGGED)).decode()
OLD_VERDICT: tuple[object, ...] = (
    "m1",
    "c1",
    NOW,
    9,
    "flagged",
    80,
    0,
    1,
    [],
    *FOUND,
    "cn-1",
    "abc",
    "m1",
    1.25,
    BODY,
    "v",
    0,
    3,
    5,
)


def with_rows_of_the_first_version(client: Client) -> None:
    migrate(client, clock=clock, target=2)
    for table, row in (("messages", OLD_MESSAGE), ("verdicts", OLD_VERDICT)):
        names = [name for (name,) in client.query(NAMES, {"table": table})]
        client.insert(table, [f"`{name}`" for name in names], [row])


@pytest.mark.clickhouse
def test_rows_of_the_first_version_are_carried_over_and_back(client: Client) -> None:
    with_rows_of_the_first_version(client)
    migrate(client, clock=clock)
    store = ClickHouseEventStore(client, clock=clock)
    stored = store.message("c1", "m1")
    assert stored is not None
    judged = store.verdict("c1", "m1")
    assert judged is not None
    assert ("保本💰", content_hash(stored)) == (stored.text, judged.content_hash)
    assert [judged] == store.verdicts_for_review(None, 10)[0]
    store.write_messages([StoredMessage(stored)])
    assert StoreCounts(1, 1, 1, 0) == store.counts()
    migrate(client, clock=clock, target=2)
    assert [("m1", "c1", "保本💰")] == client.query(
        "SELECT message_id, conversation_id, text FROM messages FINAL"
    )
    assert [("m1", "flagged")] == client.query("SELECT message_id, outcome FROM verdicts")


class Cut(Exception):
    """The process ends here."""


class CutAfter:
    """A connection of a process that ends after so many statements."""

    address = "cut"

    def __init__(self, client: Client, statements: int) -> None:
        self._client = client
        self._left = statements

    def query(self, statement: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        return self._client.query(statement, values)

    def run(self, statement: str, *, alone: bool = False) -> None:
        if alone:  # not the table in which it is noted which migrations ran
            if not self._left:
                raise Cut
            self._left -= 1
        self._client.run(statement, alone=alone)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        raise Cut

    def close(self) -> None:
        """The connection is the test's."""


def kept(client: Client) -> list[tuple[Any, ...]]:
    """The rows, those that stand twice counted twice."""
    rows = client.query("SELECT message_id, conversation_id, text FROM messages")
    rows += client.query("SELECT message_id, conversation_id, toString(outcome), body FROM verdicts")
    if ("review_queue", "offset_no", "Int64") in columns(client):
        rows += client.query("SELECT topic, partition_no, offset_no FROM review_queue")
    return rows


@pytest.mark.clickhouse
@pytest.mark.parametrize("direction", ["forward", "back"])
@pytest.mark.parametrize("migration", all_migrations(), ids=lambda migration: migration.name)
def test_migration_that_was_cut_short_is_taken_up_without_loss(
    client: Client, migration: Migration, direction: str
) -> None:
    """After each of its statements, and after the last one, before it is noted that it ran."""
    ahead = direction == "forward"
    source, target = (
        (migration.number - 1, migration.number) if ahead else (migration.number, migration.number - 1)
    )
    has_rows = migration.number > 2
    if has_rows:
        with_rows_of_the_first_version(client)
    migrate(client, clock=clock, target=target)
    rows, there = kept(client) if has_rows else [], columns(client)
    for statements in range(len(migration.forward if ahead else migration.back) + 1):
        migrate(client, clock=clock, target=source)
        with pytest.raises(Cut):
            migrate(CutAfter(client, statements), clock=clock, target=target)
        assert rows_lost(client, plan(client, target=target)).keys() <= {"review_queue"}
        migrate(client, clock=clock, target=target)
        assert target == applied(client)
        assert there == columns(client), f"cut after statement {statements}"
        assert not has_rows or rows == kept(client), f"cut after statement {statements}"


@pytest.mark.clickhouse
def test_half_a_copy_is_made_anew(client: Client) -> None:
    with_rows_of_the_first_version(client)
    with pytest.raises(Cut):
        migrate(CutAfter(client, 2), clock=clock, target=3)
    client.insert("messages_by_content", ("conversation_id", "message_id"), [("half", "written")])
    migrate(client, clock=clock, target=3)
    assert [("c1", "m1")] == client.query("SELECT conversation_id, message_id FROM messages")


@pytest.mark.clickhouse
def test_plan_of_a_migration_that_was_cut_short_prints_what_is_left(client: Client) -> None:
    with_rows_of_the_first_version(client)
    with pytest.raises(Cut):
        migrate(CutAfter(client, 4), clock=clock, target=3)
    (step,) = plan(client, target=3)
    assert "-- m0003_key_messages_by_content forward\nRENAME TABLE messages_by_content TO messages;\n" == str(
        step
    )


@pytest.mark.clickhouse
@pytest.mark.parametrize(
    ("source", "target", "statements", "elsewhere"),
    [(2, 3, 4, 1), (10, 9, 9, 10)],
    ids=["forward", "back"],
)
def test_nothing_else_runs_while_a_copy_is_all_there_is(
    client: Client, source: int, target: int, statements: int, elsewhere: int
) -> None:
    with_rows_of_the_first_version(client)
    migrate(client, clock=clock, target=source)
    with pytest.raises(Cut):
        migrate(CutAfter(client, statements), clock=clock, target=target)
    (left, *_) = plan(client, target=target)
    assert "RENAME TABLE" in left.statements[0]
    with pytest.raises(StoreError, match=f"was cut short: first run 'redline migrate --to {target}'"):
        migrate(client, clock=clock, target=elsewhere)
    migrate(client, clock=clock, target=target)
    migrate(client, clock=clock, target=elsewhere)


@pytest.mark.clickhouse
def test_no_statement_of_a_migration_runs_beside_another(
    clickhouse: ClickHouseClient, clickhouse_url: str
) -> None:
    """Else a second run would drop the copy that the first one is making."""
    other = ClickHouseClient(clickhouse_url)
    first = threading.Thread(
        target=clickhouse.run, args=("SELECT sleepEachRow(0.5) FROM numbers(6)",), kwargs={"alone": True}
    )
    first.start()
    running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%%'"
    watch = ClickHouseClient(clickhouse_url)
    assert wait_until(lambda: watch.query(running)[0][0] == 1, timeout_sec=2)
    with pytest.raises(StoreError, match="another migration is at work") as caught:
        other.run("DROP TABLE IF EXISTS messages_by_content", alone=True)
    assert caught.value.retryable
    first.join()
    other.run("DROP TABLE IF EXISTS messages_by_content", alone=True)
    for each in (other, watch):
        each.close()


@pytest.mark.clickhouse
def test_what_the_judge_flagged_is_carried_back(client: Client) -> None:
    migrate(client, clock=clock)
    amended = verdict(outcome=Outcome.FLAGGED, by="judge")
    ClickHouseEventStore(client, clock=clock).write_verdicts(
        [
            StoredVerdict(each, Origin("compliance.verdicts", 0, offset))
            for offset, each in enumerate((amended, verdict(outcome=Outcome.UNDECIDED, second=9)))
        ]
    )
    migrate(client, clock=clock, target=9)
    assert {} == rows_lost(client, plan(client, target=9))
    at = "SELECT outcome, detected_us FROM current_verdicts"
    assert [("flagged", microseconds(amended.detected_at))] == client.query(at)
    migrate(client, clock=clock)
    assert [("flagged", microseconds(amended.detected_at))] == client.query(at)


@pytest.mark.clickhouse
def test_rows_that_going_back_would_lose_are_told(client: Client) -> None:
    migrate(client, clock=clock)
    assert {} == rows_lost(client, plan(client, target=0)), "empty tables may go"
    ClickHouseEventStore(client, clock=clock).write_messages([SAID, SAID_LATER])
    assert {} == rows_lost(client, plan(client, target=2)), "the table is rebuilt with its rows"
    assert {"messages": 2} == rows_lost(client, plan(client, target=0))
    migrate(client, clock=clock, target=0)
    assert {} == rows_lost(client, plan(client))


@pytest.mark.clickhouse
def test_command_loses_no_rows_unasked(
    clickhouse: ClickHouseClient, clickhouse_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDLINE_CLICKHOUSE", clickhouse_url)
    load_settings.cache_clear()
    migrate(clickhouse, clock=clock)
    ClickHouseEventStore(clickhouse, clock=clock).write_messages([SAID])
    refused = CliRunner().invoke(app, ["migrate", "--to", "0"])
    assert 1 == refused.exit_code
    assert "going back would lose 1 rows of messages: nothing was run" in str(refused.exception)
    assert len(all_migrations()) == applied(clickhouse)
    assert (
        "would lose 1 rows of messages"
        in CliRunner().invoke(app, ["migrate", "--to", "0", "--dry-run"]).stderr
    )
    assert 0 == CliRunner().invoke(app, ["migrate", "--to", "0", "--drop-data"]).exit_code
    assert 0 == applied(clickhouse)
    load_settings.cache_clear()


@pytest.mark.clickhouse
def test_plan_prints_the_sql_and_changes_nothing(clickhouse: ClickHouseClient) -> None:
    printed = "\n".join(str(step) for step in plan(clickhouse))
    assert "-- m0001_create_messages forward" in printed
    assert "CREATE TABLE verdicts" in printed
    assert set() == columns(clickhouse)
    migrate(clickhouse, clock=clock)
    assert plan(clickhouse) == ()
    assert {"back"} == {step.direction for step in plan(clickhouse, target=0)}


@pytest.mark.clickhouse
def test_store_names_the_command_when_not_migrated(clickhouse: ClickHouseClient) -> None:
    with pytest.raises(StoreError, match="redline migrate"):
        ClickHouseEventStore(clickhouse, clock=clock)


@pytest.mark.clickhouse
def test_store_is_refused_while_a_migration_of_views_is_due(client: Client) -> None:
    migrate(client, clock=clock, target=9)
    with pytest.raises(StoreError, match="m0010_rank_amended_verdicts: has not run"):
        ClickHouseEventStore(client, clock=clock)


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
