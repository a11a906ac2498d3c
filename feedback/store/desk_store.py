"""Opens the desk store and gives out transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from feedback.errors import DeskStoreError
from feedback.store import tables
from streams.addresses import ENCODE, MAX_PORT

SQLITE_BUSY_TIMEOUT_MS = 10_000
GENESIS_HASH = "0" * 64
_SCHEMA_LOCK = 0x7265646C  # "redl", the advisory lock under which PostgreSQL tables are created


class DeskStore:
    """
    A SQLite file or a PostgreSQL database.

    `write()` is one transaction that either happens whole or not at all; on SQLite it
    takes the write lock at once, so two writers never deadlock. `read()` sees one
    consistent state. Safe to share between threads.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end of the block and rolls back on any error."""
        with self._engine.connect().execution_options(redline_write=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction for reading."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def ping(self) -> None:
        """Raise DeskStoreError when the store does not answer."""
        try:
            with self.read() as connection:
                connection.execute(select(tables.state.c.value).limit(1)).first()
        except SQLAlchemyError as error:
            raise DeskStoreError(f"the desk store does not answer ({type(error).__name__})") from error

    def close(self) -> None:
        """Close every connection. The store is not usable afterwards."""
        self._engine.dispose()


def open_desk_store(url: str) -> DeskStore:
    """
    Open the store at `url` (`sqlite:///desk.db`, `postgresql://user@host/db`), creating missing tables.

    Raises DeskStoreError when it cannot be reached, or was written by a newer redline.
    """
    engine = _engine(url)
    store = DeskStore(engine)
    try:
        _prepare(store)
    except SQLAlchemyError as error:
        store.close()
        shown = engine.url.render_as_string(hide_password=True)
        raise DeskStoreError(
            f"cannot open the desk store {shown}: {type(error).__name__}. Is it there and writable?"
        ) from error
    except DeskStoreError:
        store.close()
        raise
    return store


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DeskStoreError("the desk store URL is neither sqlite:///FILE nor postgresql://…") from error
    except ValueError:  # it would say what it took for the port: part of a password
        raise DeskStoreError(f"the port of the desk store URL is no number, or {ENCODE}") from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise DeskStoreError(
            f"the desk store cannot be '{parsed.drivername}'; use sqlite:/// or postgresql://"
        )
    if parsed.get_backend_name() == "postgresql":
        if "@" in f"{parsed.host or ''}{parsed.database or ''}":
            raise DeskStoreError(f"the desk store URL has an @ behind the host: {ENCODE}")
        if parsed.port is not None and not 1 <= parsed.port <= MAX_PORT:
            raise DeskStoreError(f"the port of the desk store URL is not 1 to {MAX_PORT}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DeskStoreError("the desk store needs a file: decisions must survive a restart")
    engine = create_engine(
        parsed,
        pool_pre_ping=True,
        hide_parameters=True,  # customers' words stay out of errors and logs
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a recorded decision survives a power cut
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("redline_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _prepare(store: DeskStore) -> None:
    with store.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
        tables.metadata.create_all(connection)
        found = connection.execute(
            select(tables.state.c.value).where(tables.state.c.name == "schema_version")
        ).scalar()
        if found is None:
            connection.execute(
                insert(tables.state).values(name="schema_version", value=str(tables.SCHEMA_VERSION))
            )
            connection.execute(insert(tables.audit_head).values(id=1, seq=0, hash=GENESIS_HASH))
        elif found != str(tables.SCHEMA_VERSION):
            raise DeskStoreError(
                f"the desk store has schema {found}, this redline knows {tables.SCHEMA_VERSION}; "
                "start the version that wrote it, or migrate first"
            )
