"""The folders lean one way; serving imports neither training nor web code."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_folders_lean_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("deploy.cli.scan", ["torch", "fastapi", "sqlalchemy", "faust", "kafka", "clickhouse_driver"]),
        ("deploy.wiring", ["torch", "fastapi", "sqlalchemy", "faust", "kafka", "clickhouse_driver"]),
        ("streams.app", ["torch", "fastapi", "sqlalchemy"]),
        ("feedback.web.app", ["torch", "faust", "kafka"]),
    ],
)
def test_a_scorer_needs_neither_training_nor_web(module: str, unwanted: list[str]) -> None:
    """thinc, below spaCy, takes torch where it finds it; that is not our import, so it is hidden here."""
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['cupy'] = None\n"
        f"import {module}\n"
        f"found = [name for name in {unwanted!r} if sys.modules.get(name) is not None]\n"
        "assert not found, found"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
