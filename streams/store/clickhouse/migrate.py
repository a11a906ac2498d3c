"""Which migrations there are, which ran, and what running the others would do."""

import pkgutil
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from typing import Literal

from streams.errors import StoreError
from streams.store.clickhouse import migrations
from streams.store.clickhouse.client import Client
from streams.store.clickhouse.tables import TABLES

LEDGER = "redline_migrations"
CREATE_LEDGER = f"""
CREATE TABLE IF NOT EXISTS {LEDGER} (
    number UInt16,
    name String,
    direction Enum8('forward' = 1, 'back' = 2),
    at DateTime('UTC'),
    step UInt32
) ENGINE = MergeTree PARTITION BY tuple() ORDER BY step
"""
DROPPED = re.compile(r"DROP TABLE (?:IF EXISTS )?(\w+)")
CREATED = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)")
RENAMED = re.compile(r"RENAME TABLE (\w+) TO (\w+)")
NAME = re.compile(r"m(\d{4})_[a-z0-9_]+")

Direction = Literal["forward", "back"]


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered change, with its way back."""

    number: int
    name: str
    forward: tuple[str, ...]
    back: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A migration that is due, in one direction; `done` of its statements ran before it was cut short."""

    migration: Migration
    direction: Direction
    done: int = 0

    @property
    def statements(self) -> tuple[str, ...]:
        """The SQL that will run."""
        whole = self.migration.forward if self.direction == "forward" else self.migration.back
        return whole[self.done :]

    def __str__(self) -> str:
        """As `redline migrate --plan` prints it."""
        body = "".join(f"{statement.strip()};\n" for statement in self.statements)
        return f"-- {self.migration.name} {self.direction}\n{body}"


def all_migrations() -> tuple[Migration, ...]:
    """Every migration in order. Raises StoreError when a name does not fit or a number is missing."""
    found = []
    for module_info in pkgutil.iter_modules(migrations.__path__):
        match = NAME.fullmatch(module_info.name)
        if match is None:
            raise StoreError(f"migration {module_info.name} is not named mNNNN_what_it_does", retryable=False)
        module = import_module(f"{migrations.__name__}.{module_info.name}")
        found.append(Migration(int(match.group(1)), module_info.name, module.FORWARD, module.BACK))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise StoreError("migrations are not numbered 1, 2, 3 … without a gap", retryable=False)
    return tuple(found)


def applied(client: Client) -> int:
    """The number of the last migration in force, 0 for a new database."""
    if not _exists(client, LEDGER):
        return 0
    rows = client.query(f"SELECT number, direction FROM {LEDGER} ORDER BY step DESC LIMIT 1")  # noqa: S608
    if not rows:
        return 0
    number, direction = rows[0]
    return int(number) if direction == "forward" else int(number) - 1


def plan(client: Client, *, target: int | None = None) -> tuple[Step, ...]:
    """
    What `migrate` would do: forward to the newest, or to `target` in either direction (0 is empty).

    A migration that was cut short is taken up again. Changes nothing. Raises StoreError when
    `target` is unknown, the database is ahead of this code, or a migration that was cut short,
    with a copy for a table's only content, is none of the way to `target`.
    """
    known = all_migrations()
    current = applied(client)
    wanted = len(known) if target is None else target
    if current > len(known):
        raise StoreError(
            f"the database is at migration {current}, this redline knows {len(known)}: update redline",
            retryable=False,
        )
    if not 0 <= wanted <= len(known):
        raise StoreError(f"there is no migration {wanted}; the newest is {len(known)}", retryable=False)
    if wanted >= current:
        steps = [Step(migration, "forward") for migration in known[current:wanted]]
    else:
        steps = [Step(migration, "back") for migration in reversed(known[wanted:current])]
    begun = _begun(client, known, current)
    if begun is None:
        return tuple(steps)
    if not steps or replace(begun, done=0) != steps[0]:
        number = begun.migration.number - (begun.direction == "back")
        raise StoreError(
            f"{begun.migration.name} {begun.direction} was cut short: first run 'redline migrate --to {number}'",
            retryable=False,
        )
    return (begun, *steps[1:])


def _begun(client: Client, known: Sequence[Migration], current: int) -> Step | None:
    """The step that was cut short in the midst of putting a copy in the place of a table."""
    for step in (
        *(Step(migration, "forward") for migration in known[current : current + 1]),
        *(Step(migration, "back") for migration in known[max(current - 1, 0) : current]),
    ):
        if done := _done(client, step.statements):
            return replace(step, done=done)
    return None


def _done(client: Client, statements: Sequence[str]) -> int:
    """
    How many statements of a step need not, and must not, run again.

    Where a table was dropped and its copy not yet given its name, the copy is all there is: the step
    goes on there. From any other place where it can be cut, a step runs again from its beginning.
    """
    for number, statement in enumerate(statements):
        renamed = RENAMED.search(statement)
        if renamed and _exists(client, renamed[1]) and not _exists(client, renamed[2]):
            return number
    return 0


def _exists(client: Client, table: str) -> bool:
    ((found,),) = client.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = %(name)s",
        {"name": table},
    )
    return bool(found)


def rows_lost(client: Client, steps: Sequence[Step]) -> dict[str, int]:
    """How many rows would be gone after going back, by table; a table that is rebuilt under its name loses none."""
    lost = {}
    for step in steps:
        if step.direction == "forward":
            continue
        statements = "\n".join(step.statements)
        rebuilt = {name for _, name in RENAMED.findall(statements)} | set(CREATED.findall(statements))
        for table in sorted(set(DROPPED.findall(statements)) - rebuilt):
            exists = client.query(
                "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = %(name)s "
                "AND engine NOT LIKE '%%View'",
                {"name": table},
            )
            if exists[0][0] and (rows := int(client.query(f"SELECT count() FROM {table}")[0][0])):  # noqa: S608
                lost[table] = rows
    return lost


def migrate(client: Client, *, clock: Callable[[], datetime], target: int | None = None) -> Sequence[Step]:
    """
    Run the plan and return it. One at a time on a database.

    ClickHouse has no transactions around DDL: when a statement fails, the migrations
    before it stay in force and the error names the one that failed. Run again, it is
    taken up, wherever it was cut: no row is lost, none is there twice.
    """
    steps = plan(client, target=target)
    client.run(CREATE_LEDGER)
    ((done,),) = client.query(f"SELECT max(step) FROM {LEDGER}")  # noqa: S608
    for number, step in enumerate(steps, start=int(done) + 1):
        for statement in step.statements:
            try:
                client.run(statement, alone=True)
            except StoreError as error:
                raise StoreError(
                    f"{step.migration.name} {step.direction}: {error}", retryable=error.retryable
                ) from error
        row = (step.migration.number, step.migration.name, step.direction, clock(), number)
        client.insert(LEDGER, ("number", "name", "direction", "at", "step"), [row])
    return steps


def differences(client: Client) -> list[str]:
    """
    How the database differs from `TABLES`, one line each; empty when the code may run on it.

    A migration that has not run differs too: it may have changed views, or what a column means.
    """
    rows = client.query(
        "SELECT table, name, type FROM system.columns "
        "WHERE database = currentDatabase() AND table IN %(tables)s",
        {"tables": tuple(TABLES)},
    )
    found = {(table, name): kind for table, name, kind in rows}
    declared = {(table, name): kind for table, columns in TABLES.items() for name, kind in columns.items()}
    current = applied(client)
    due = [f"{each.name}: has not run" for each in all_migrations() if each.number > current]
    return due + [
        f"{table}.{name}: expected {declared.get((table, name), 'nothing')}, "
        f"found {found.get((table, name), 'nothing')}"
        for table, name in sorted(declared.keys() | found.keys())
        if declared.get((table, name)) != found.get((table, name))
    ]
