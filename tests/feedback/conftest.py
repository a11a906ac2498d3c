"""A realistic queue of eight cases, a clock that stands still, and both kinds of desk store."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypedDict

import orjson
import pytest
from sqlalchemy import create_engine, text

from detectors.domain import Severity, Turn, Verdict
from feedback.cases import open_cases
from feedback.catalogue_view import CatalogueView, LabelView
from feedback.snapshot import Snapshot, decode_snapshot
from feedback.store.desk_store import DeskStore, open_desk_store

SEED = Path(__file__).parent / "data" / "desk_seed.json"
# Debian keeps every version in its own folder, off the PATH; the newest counts.
POSTGRES_BIN = max(
    Path("/usr/lib/postgresql").glob("*/bin"),
    key=lambda path: int(path.parent.name),
    default=Path(shutil.which("initdb") or "/usr/bin/initdb").parent,
)
START_DEADLINE_SEC = 30


class Demotion(TypedDict, total=False):
    """Arguments for subprocess that give up root."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass
class StandingClock:
    """A clock that moves only when told."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock(datetime(2026, 3, 12, 15, 0, tzinfo=timezone(timedelta(hours=8))))


@pytest.fixture(scope="session")
def seed() -> list[Snapshot]:
    """Eight invented cases, the most urgent first."""
    found = [
        decode_snapshot(orjson.dumps(case).decode()) for case in orjson.loads(SEED.read_bytes())["cases"]
    ]
    return sorted(found, key=lambda snapshot: -snapshot.verdict.priority)


@pytest.fixture(scope="session")
def catalogue() -> CatalogueView:
    data = orjson.loads(SEED.read_bytes())
    labels = tuple(
        LabelView(**{**label, "severity": Severity(label["severity"])}) for label in data["labels"]
    )
    return CatalogueView(labels, law_titles=data["laws"], trait_names=data["traits"], version="test")


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL 15 server of our own on loopback; it refuses to run as root, so it does not."""
    home = tmp_path_factory.mktemp("postgres")
    data = home / "data"
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    demote: Demotion = {}
    if os.geteuid() == 0:
        demote = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        for folder in (home.parent.parent, home.parent):  # pytest's folders are for their owner only
            folder.chmod(folder.stat().st_mode | 0o011)
        shutil.chown(home, owner.pw_uid)
    initdb = [str(POSTGRES_BIN / "initdb"), "-D", str(data), "-U", "desk", "-A", "trust", "-E", "UTF8"]
    subprocess.run([*initdb, "--no-locale", "-N"], check=True, capture_output=True, cwd=home, **demote)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = [
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
        "-c",
        f"unix_socket_directories={home}",
    ]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(POSTGRES_BIN / "postgres"), "-D", str(data), "-p", str(port), *settings],
            stdout=log,
            stderr=log,
            cwd=home,
            **demote,
        )
    try:
        deadline = time.monotonic() + START_DEADLINE_SEC
        ready = [str(POSTGRES_BIN / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        while subprocess.run(ready, check=False).returncode != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail("PostgreSQL did not start: " + (home / "log").read_text())
            time.sleep(0.05)
        yield f"postgresql://desk@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(timeout=START_DEADLINE_SEC)


@pytest.fixture
def empty_postgres_url(postgres_url: str) -> str:
    """The server with nothing in it."""
    engine = create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return postgres_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where to open a store of each kind; opening it twice is two processes on the same data."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'desk.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[DeskStore]:
    opened = open_desk_store(store_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[DeskStore]:
    """For what does not depend on the database, such as the pages."""
    opened = open_desk_store(f"sqlite:///{tmp_path / 'desk.db'}")
    yield opened
    opened.close()


@pytest.fixture
def pairs(seed: list[Snapshot]) -> list[tuple[Turn, Verdict]]:
    return [(snapshot.turn, snapshot.verdict) for snapshot in seed]


@pytest.fixture
def fill(
    pairs: list[tuple[Turn, Verdict]], clock: StandingClock
) -> Callable[[DeskStore], list[tuple[Turn, Verdict]]]:
    """Opens the eight cases in a store."""

    def filled(into: DeskStore) -> list[tuple[Turn, Verdict]]:
        open_cases(into, pairs, clock=clock)
        return pairs

    return filled
