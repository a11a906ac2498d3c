"""The modern ClickHouse engine, in this process, behind the same calls as a server: for DDL and queries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from chdb.session import Session
from clickhouse_driver.context import Context
from clickhouse_driver.util.escape import escape_params

from streams.errors import StoreError


class ChdbClient:
    """One engine in a folder; a process may have one at a time."""

    address = "chdb"

    def __init__(self, folder: Path) -> None:
        self._session: Any = Session(str(folder))  # type: ignore[no-untyped-call]  # it has no types
        self._context = Context()
        self._context.client_settings = {"server_side_params": False, "use_numpy": False}

    def query(self, statement: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        if values:
            statement = statement % escape_params(dict(values), self._context)
        text = self._ask(statement, "JSONCompactEachRowWithNamesAndTypes")
        lines = [orjson.loads(line) for line in text.splitlines() if line.strip()]
        return [tuple(row) for row in lines[2:]]

    def run(self, statement: str, *, alone: bool = False) -> None:
        self._ask(statement, "CSV")

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        if rows:
            names = ", ".join(columns)
            lines = b"\n".join(orjson.dumps([_plain(value) for value in row]) for row in rows)
            self._ask(f"INSERT INTO {table} ({names}) FORMAT JSONCompactEachRow {lines.decode()}", "CSV")

    def close(self) -> None:
        """Nothing: the engine is shared, see `end`."""

    def end(self) -> None:
        self._session.close()

    def _ask(self, statement: str, form: str) -> str:
        if form != "CSV":
            statement += "\nSETTINGS output_format_json_quote_64bit_integers = 0"
        try:
            return bytes(self._session.query(statement, form).bytes()).decode()
        except RuntimeError as error:
            raise StoreError(f"chdb: {str(error)[:600]}", retryable=False) from None


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return int(value.timestamp())
    return value
