"""The `redline` command: as a process of its own, and in this process where only its words and codes matter."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from deploy.settings import load_settings
from rules.loader import builtin_pack_path, load_pack
from rules.lock import LOCK_FILE, update_lock

REDLINE = Path(sys.executable).with_name("redline")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Redline = Callable[..., Ended]
SMALL_PACK_RULE = "principal-is-safe"


@pytest.fixture(scope="session")
def small_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped pack with one rule of its rules: it loads in a moment."""
    folder = tmp_path_factory.mktemp("pack") / "small"
    shutil.copytree(builtin_pack_path(), folder)
    for rule in (folder / "rules").rglob("*.yaml"):
        if rule.stem != SMALL_PACK_RULE:
            rule.unlink()
    (folder / LOCK_FILE).unlink(missing_ok=True)
    update_lock(load_pack(folder))
    return folder


@pytest.fixture
def environment(tmp_path: Path, small_pack: Path) -> dict[str, str]:
    """A process environment without settings of the machine, with its own data folder and the small pack."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("REDLINE_")}
    ours = {"REDLINE_DATA_DIR": str(tmp_path / "data"), "REDLINE_PACK": str(small_pack)}
    return {**kept, **ours, "LC_ALL": "C.UTF-8"}


@pytest.fixture
def redline_process(environment: dict[str, str], tmp_path: Path) -> Redline:
    """Runs the installed command. Use it where pipes and the process matter: it takes seconds to start."""

    def run(*arguments: str, stdin: bytes = b"", **settings: str) -> Ended:
        done = subprocess.run(
            [str(REDLINE), *arguments],
            input=stdin,
            capture_output=True,
            env={**environment, **settings},
            cwd=tmp_path,
            timeout=120,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def redline(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[Redline]:
    """Runs the entry point here, as the installed command does."""
    from deploy.cli.main import main

    for key in [key for key in os.environ if key.startswith("REDLINE_")]:
        monkeypatch.delenv(key)
    for key in ("REDLINE_DATA_DIR", "REDLINE_PACK"):
        monkeypatch.setenv(key, environment[key])
    monkeypatch.chdir(tmp_path)
    driver_log = logging.getLogger("clickhouse_driver")
    level = driver_log.level

    def run(*arguments: str, **settings: str) -> Ended:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["redline", *arguments])
        load_settings.cache_clear()
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        code = end.value.code
        return Ended(code if isinstance(code, int) else 0, out, err)

    yield run
    load_settings.cache_clear()
    structlog.reset_defaults()
    driver_log.setLevel(level)
