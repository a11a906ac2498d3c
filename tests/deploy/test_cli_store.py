"""Retention and the sensitivity of fields."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from deploy.cli.store import _months_before, store_app
from deploy.settings import load_settings
from streams.store.base import StoredMessage
from streams.store.clickhouse.tables import TABLES
from streams.store.sensitivity import COLUMNS, MEANINGS
from streams.store.sqlite import SqliteEventStore
from tests.stream_samples import message


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDLINE_DATA_DIR", str(tmp_path))
    load_settings.cache_clear()


@pytest.mark.parametrize(
    ("day", "months", "first"),
    [
        (date(2026, 3, 31), 1, date(2026, 2, 1)),
        (date(2026, 1, 1), 1, date(2025, 12, 1)),
        (date(2026, 1, 15), 12, date(2025, 1, 1)),
        (date(2026, 12, 1), 60, date(2021, 12, 1)),
    ],
)
def test_months_before(day: date, months: int, first: date) -> None:
    assert first == _months_before(day, months)


def test_older_months_go_and_younger_stay(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "events.sqlite")
    now = datetime.now(UTC)
    store.write_messages([StoredMessage(message(1)), StoredMessage(replace(message(2), sent_at=now))])
    store.close()
    looked = CliRunner().invoke(store_app, ["retain", "--months", "2", "--dry-run"])
    assert "1 months before" in looked.stderr
    assert "would be dropped" in looked.stderr
    assert 2 == orjson.loads(CliRunner().invoke(store_app, ["counts"]).stdout)["messages"]
    assert "2025-03" in CliRunner().invoke(store_app, ["retain", "--months", "2"]).stdout
    counts = orjson.loads(CliRunner().invoke(store_app, ["counts"]).stdout)
    assert (1, [f"{now:%Y-%m}"]) == (counts["messages"], counts["months"])


def test_every_stored_column_has_its_sensitivity() -> None:
    declared = {table: set(columns) for table, columns in TABLES.items()}
    assert declared == {table: set(columns) for table, columns in COLUMNS.items()}
    printed = CliRunner().invoke(store_app, ["fields"]).stdout.splitlines()
    assert sum(map(len, declared.values())) == len(printed)
    assert "messages\ttext\twords" in printed
    assert MEANINGS.keys() == {line.split("\t")[2] for line in printed}
