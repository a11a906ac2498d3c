"""The weekly run by cron, systemd and Kubernetes: weekly, never twice at a time, a refusal is no crash."""

import configparser
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cli.main import Commands
from deploy.cli.train import EXIT_REFUSED

SCHEDULE = Path(__file__).resolve().parents[2] / "deploy" / "schedule"
CRON_LINE = re.compile(r"(\S+) (\S+) (\S+) (\S+) (\S+) (\S+) (.+)")


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(SCHEDULE / name, "utf-8")
    return parser


def cron_job() -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load((SCHEDULE / "retrain-cronjob.yaml").read_text("utf-8"))
    return job


def cron_fields() -> tuple[str, ...]:
    lines = (SCHEDULE / "retrain.cron").read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line and not line.startswith("#") and "=" not in line.split()[0])
    match = CRON_LINE.fullmatch(line)
    assert match
    return match.groups()


def test_cron_line_is_weekly_and_cannot_overlap() -> None:
    minute, hour, day, month, weekday, user, command = cron_fields()

    assert (day, month) == ("*", "*")
    assert all(value.isdecimal() for value in (minute, hour, weekday))
    assert user == "redline"
    assert command.startswith("flock -n ")
    assert "%" not in command  # cron takes it for a line end


def test_flock_lets_the_second_run_go(tmp_path: Path) -> None:
    """The very options of the cron line: the second run ends at once with a code that is none of redline's."""
    if shutil.which("flock") is None:
        pytest.skip("no flock here")
    found = re.match(r"flock (-n -E (\d+)) ", cron_fields()[-1])
    assert found
    lock = tmp_path / "lock"
    options = found[1].split()
    inner = f"flock {found[1]} {lock} true"

    done = subprocess.run(["flock", *options, str(lock), "sh", "-c", inner], check=False, timeout=20)

    assert done.returncode == int(found[2])
    assert done.returncode not in {0, 1, 2, EXIT_REFUSED}


CRON_SETTINGS = """# the desk is on PostgreSQL
REDLINE_DESK_URL=postgresql://me:a$b'c@host/redline?sslmode=require&application_name=re train
PATH=/nowhere
REDLINE_MODELS=/srv/models"""


def run_of_cron(tmp_path: Path, settings: Path) -> tuple[int, str]:
    """The command of the cron line over stand-ins for redline, flock and the log."""
    for name, text in (
        ("redline", 'echo "$1 $REDLINE_DESK_URL $REDLINE_MODELS"'),
        ("flock", 'shift 4; exec "$@"'),
        ("logger", "exec cat"),
    ):
        stand_in = tmp_path / name
        stand_in.write_text(f"#!/bin/sh\n{text}\n", "ascii")
        stand_in.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", cron_fields()[-1]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SETTINGS": str(settings)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return done.returncode, done.stdout


def test_cron_and_systemd_take_settings_from_the_same_file() -> None:
    lines = (SCHEDULE / "retrain.cron").read_text("utf-8").splitlines()
    (file,) = (line.removeprefix("SETTINGS=") for line in lines if line.startswith("SETTINGS="))
    assert unit("redline-retrain.service")["Service"]["EnvironmentFile"] == f"-{file}"
    assert file in (SCHEDULE / "README.md").read_text("utf-8")


def test_cron_takes_settings_as_they_stand(tmp_path: Path) -> None:
    """Nothing of a password is taken for shell, and only redline's own names count."""
    settings = tmp_path / "redline.env"
    settings.write_text(CRON_SETTINGS, "utf-8")
    url = "postgresql://me:a$b'c@host/redline?sslmode=require&application_name=re train"

    assert (0, f"retrain {url} /srv/models\n") == run_of_cron(tmp_path, settings)


def test_cron_runs_without_the_file(tmp_path: Path) -> None:
    assert (0, "retrain  \n") == run_of_cron(tmp_path, tmp_path / "redline.env")


def test_cron_runs_nothing_where_the_file_cannot_be_read(tmp_path: Path) -> None:
    """A run without its settings would learn from an empty desk. (A socket cannot be read even by root.)"""
    with socket.socket(socket.AF_UNIX) as unreadable:
        unreadable.bind(str(tmp_path / "s"))
        _, said = run_of_cron(tmp_path, tmp_path / "s")

    assert "retrain" not in said
    assert str(tmp_path / "s") in said


def test_timer_is_weekly_and_makes_up_for_a_missed_run() -> None:
    timer = unit("redline-retrain.timer")

    assert timer["Timer"]["OnCalendar"].split()[0] in {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
    assert timer["Timer"]["Persistent"] == "true"
    assert (SCHEDULE / timer["Timer"]["Unit"]).is_file()
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_service_runs_once_and_takes_a_refusal_for_success() -> None:
    service = unit("redline-retrain.service")["Service"]

    assert service["Type"] == "oneshot"
    assert service["SuccessExitStatus"] == str(EXIT_REFUSED)
    assert service["User"] == "redline"
    assert Path(service["ExecStart"].split()[0]).is_absolute()


@pytest.mark.parametrize("name", ["redline-retrain.service", "redline-retrain.timer"])
def test_systemd_accepts_the_unit(name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(SCHEDULE / name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert not re.search(r"Unknown (key|section|lvalue)|Failed to parse|Invalid", done.stderr), done.stderr


def test_cron_job_is_weekly_and_forbids_two_at_a_time() -> None:
    spec = cron_job()["spec"]

    _, _, day, month, weekday = spec["schedule"].split()
    assert (day, month) == ("*", "*")
    assert weekday.isdecimal()
    assert spec["concurrencyPolicy"] == "Forbid"


@pytest.mark.parametrize(("code", "seen"), [(0, 0), (EXIT_REFUSED, 0), (1, 1), (2, 2)])
def test_cron_job_takes_a_refusal_for_success(tmp_path: Path, code: int, seen: int) -> None:
    """Runs the job's own shell line over a stand-in that ends with the code."""
    stand_in = tmp_path / "redline"
    stand_in.write_text(f"#!/bin/sh\nexit {code}\n", "ascii")
    stand_in.chmod(0o755)
    command = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"]

    done = subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False, timeout=20)

    assert done.returncode == seen


def test_every_schedule_runs_a_command_that_redline_has() -> None:
    started = [
        cron_fields()[-1],
        unit("redline-retrain.service")["Service"]["ExecStart"],
        cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"][-1],
    ]
    assert {"retrain"} == {re.findall(r"redline (\w+)", text)[0] for text in started}
    assert "retrain" in Commands.lazy


def test_readme_names_every_file() -> None:
    readme = (SCHEDULE / "README.md").read_text("utf-8")
    for path in sorted(set(SCHEDULE.iterdir()) - {SCHEDULE / "README.md"}):
        assert path.name in readme or f"`{path.suffix}`" in readme
