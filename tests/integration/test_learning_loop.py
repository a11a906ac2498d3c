"""The loop, closed once: scan → case → decision → retrain → promotion → the same message judged anew."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.cli.serve import sample_file
from deploy.wiring import utc_now
from feedback.cases import CaseFilter, list_cases
from feedback.decisions import decide
from feedback.store.desk_store import open_desk_store
from streams.identity import verdict_key
from streams.store.sqlite import SqliteEventStore

pytestmark = pytest.mark.training

REDLINE = Path(sys.executable).with_name("redline")
REVIEWER = "li.na"
DECIDED = 12


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "REDLINE_DATA_DIR": str(tmp_path / "data")}


def redline(*arguments: str, environment: dict[str, str], code: int = 0) -> Any:
    done = subprocess.run(
        [REDLINE, *arguments], env=environment, capture_output=True, text=True, timeout=3600
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_what_reviewers_decide_becomes_the_next_model(environment: dict[str, str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    redline("up", "--no-serve", environment=environment)
    desk = open_desk_store(f"sqlite:///{data / 'desk.sqlite'}")
    cases = [case for case in list_cases(desk, CaseFilter(), limit=200) if case.snapshot.verdict.flagged]
    assert len(cases) >= DECIDED
    for case in cases[:DECIDED]:
        decide(desk, case.case_id, REVIEWER, "confirm", clock=utc_now)
    judged_first = verdict_key(cases[0].snapshot.verdict)
    desk.close()

    settings = tmp_path / "quick.json"
    settings.write_bytes(orjson.dumps({"epochs": 1, "rate": 1e-5, "rehearsal": 0.2}))
    report = orjson.loads(redline("retrain", "--config", str(settings), environment=environment))
    assert report["promoted"], report["reasons"]
    assert DECIDED == report["reviewed_cases"]
    assert report["candidate"] in redline("models", "list", environment=environment)
    shown = orjson.loads(redline("models", "show", environment=environment))
    assert (report["candidate"], report["dataset"]) == (shown["version"], shown["dataset"]["hash"])
    assert shown["dataset"]["sources"][f"case:{REVIEWER}"] == DECIDED

    redline("up", "--no-serve", environment=environment)
    events = SqliteEventStore(data / "events.sqlite")
    judged = events.verdict(*judged_first)
    events.close()
    assert judged is not None
    assert report["candidate"] == judged.versions.model
    verdicts = redline("scan", str(sample_file()), environment=environment).splitlines()
    assert {report["candidate"]} == {orjson.loads(line)["versions"]["model"] for line in verdicts}

    redline("models", "rollback", environment=environment)
    assert (
        report["serving_before"]
        == orjson.loads(redline("models", "show", environment=environment))["version"]
    )
