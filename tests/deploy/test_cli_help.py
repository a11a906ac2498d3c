"""Every command explains itself, and starts with what its own job needs only."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli.main import Commands
from tests.deploy.chats import lines, record
from tests.deploy.conftest import Redline

GROUPS = {
    "rules": ["list", "lint", "test", "explain", "lock", "diff", "backtest"],
    "models": ["list", "show", "add", "promote", "rollback"],
}
COMMANDS = [[name] for name in Commands.lazy] + [
    [group, name] for group, names in GROUPS.items() for name in names
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_explains_itself(redline: Redline, command: list[str]) -> None:
    ended = redline(*command, "--help")

    assert (0, "") == (ended.code, ended.err)
    usage, _, rest = ended.out.partition("\n\n")
    assert usage.startswith(f"Usage: redline {' '.join(command)}")
    meaning = rest.strip().splitlines()[0]
    assert len(meaning) > 20
    assert not any(line.endswith("...") for line in ended.out.splitlines()[1:])


def test_list_of_commands_has_a_sentence_for_each(redline: Redline) -> None:
    ended = redline("--help")

    assert ended.code == 0
    assert all(f"\n  {name} " in ended.out for name in Commands.lazy)
    assert all(entry.help.endswith(".") for entry in Commands.lazy.values())
    assert "REDLINE_DATA_DIR" in ended.out


@pytest.mark.parametrize("group", GROUPS)
def test_group_lists_its_commands(redline: Redline, group: str) -> None:
    ended = redline(group, "--help")

    assert all(f"\n  {name} " in ended.out for name in GROUPS[group])


def test_misspelt_command_is_answered_with_the_right_one(redline: Redline) -> None:
    ended = redline("scna")

    assert ended.code == 2
    assert "No such command 'scna'. Did you mean 'scan'?" in ended.err


def test_version_is_printed(redline: Redline) -> None:
    assert redline("--version").out.startswith("redline ")


def test_scan_loads_neither_web_nor_broker() -> None:
    """A scorer is installed without these extras."""
    code = (
        "import sys; import deploy.cli.main, deploy.cli.scan; "
        "print([n for n in ('fastapi', 'uvicorn', 'sqlalchemy', 'faust', 'kafka', 'clickhouse_driver') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


@pytest.mark.parametrize("command", list(Commands.lazy))
def test_help_needs_no_extra(command: str) -> None:
    """Who reads the options has not installed the broker's and the web's packages yet."""
    code = f"""
import sys
from deploy.cli.main import EXTRAS, main
for name in EXTRAS:
    sys.modules[name] = None
sys.argv = ["redline", {command!r}, "--help"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert f"Usage: redline {command}" in done.stdout


def test_missing_extra_is_named(redline: Redline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = ("streams.producer", "streams.topics", "deploy.topics")
    for name in [name for name in sys.modules if name.partition(".")[0] == "kafka" or name in ours]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kafka", None)
    (tmp_path / "chats.jsonl").write_bytes(lines([record(1)]))

    ended = redline("send", "chats.jsonl")

    assert ended.code == 1
    assert "pip install --constraint constraints.txt --editable '.[streams]'" in ended.err
