"""The only code that knows the ClickHouse driver."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import clickhouse_driver
from clickhouse_driver.errors import Error, ErrorCodes, NetworkError, ServerException, SocketTimeoutError

from streams.errors import StoreError

CONNECT_TIMEOUT_SEC = 5
QUERY_TIMEOUT_SEC = 60
RETRYABLE_CODES = frozenset(
    {
        ErrorCodes.TOO_MANY_PARTS,
        ErrorCodes.TOO_MANY_SIMULTANEOUS_QUERIES,
        ErrorCodes.MEMORY_LIMIT_EXCEEDED,
        ErrorCodes.TIMEOUT_EXCEEDED,
    }
)


class Client(Protocol):
    """What the store and the migrations ask of a connection, so that tests can run them on other engines."""

    address: str

    def query(self, statement: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a SELECT; `values` fill its %(name)s places, escaped. Then `%` is written `%%`."""

    def run(self, statement: str, *, alone: bool = False) -> None:
        """A statement without rows, such as DDL. `alone`: refused while another such one is at work here."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert rows in one block; nothing happens when there are none."""

    def close(self) -> None:
        """Let go of the connection."""


class ClickHouseClient:
    """
    One connection, used by one thread at a time.

    `url` is `clickhouse://user:password@host:9000/database`. Errors come as
    StoreError, `retryable` when waiting may help; the password is never in them.
    """

    def __init__(self, url: str) -> None:
        self._lock = threading.RLock()
        self._client = clickhouse_driver.Client.from_url(url)
        self._client.connection.connect_timeout = CONNECT_TIMEOUT_SEC
        self._client.connection.send_receive_timeout = QUERY_TIMEOUT_SEC
        self.address = f"{self._client.connection.hosts[0][0]}:{self._client.connection.hosts[0][1]}"
        self.database: str = self._client.connection.database

    def query(self, statement: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a SELECT; `values` fill its %(name)s places, escaped."""
        rows: list[tuple[Any, ...]] = self._execute(statement, dict(values) if values else None)
        return rows

    def run(self, statement: str, *, alone: bool = False) -> None:
        """A statement without rows, such as DDL. `alone`: refused while another such one is at work here."""
        # The server runs no two queries of one user with the same id at a time.
        self._execute(statement, None, f"redline-alone-{self.database}" if alone else None)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert rows in one block; nothing happens when there are none."""
        if rows:
            # Rows always as the second argument: values inside the text of an INSERT hang.
            self._execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES", list(rows))

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._client.disconnect()

    def _execute(self, statement: str, data: Any, query_id: str | None = None) -> Any:
        try:
            with self._lock:
                return self._client.execute(statement, data, query_id=query_id)
        except (NetworkError, SocketTimeoutError, OSError, EOFError) as error:
            raise StoreError(
                f"ClickHouse at {self.address} cannot be reached: {error}", retryable=True
            ) from error
        except ServerException as error:
            if error.code == ErrorCodes.QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING:
                raise StoreError(
                    f"ClickHouse at {self.address}: another migration is at work on {self.database}; "
                    "wait until it ends",
                    retryable=True,
                ) from error
            said = error.message.split("Stack trace")[0].strip()
            raise StoreError(
                f"ClickHouse at {self.address} refused (code {error.code}): {said}",
                retryable=error.code in RETRYABLE_CODES,
            ) from error
        except Error as error:
            raise StoreError(f"ClickHouse at {self.address}: {error}", retryable=False) from error
