"""`redline replay` over the bundled rules: what another pack changes, and that nothing is written."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from deploy.candidate import Candidate
from deploy.cli.main import app
from deploy.settings import Settings, load_settings
from deploy.wiring import build_cascade
from detectors.case_file import RememberedCase, write_cases
from detectors.domain import Outcome, Speaker
from detectors.model_store import builtin_model_path
from streams.identity import content_hash
from streams.store.base import StoredMessage, StoredVerdict
from streams.store.sqlite import SqliteEventStore
from tests.deploy.conftest import Redline
from tests.detectors.samples import turn
from tests.stream_samples import START, message, verdict

LIKE_A_CASE = "您把心放肚子里，我们行从来没让客户亏过钱"


def test_changed_verdicts_are_counted_and_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDLINE_DATA_DIR", str(tmp_path))
    load_settings.cache_clear()
    store = SqliteEventStore(tmp_path / "events.sqlite")
    promise, greeting = message(1, text="这款保本，您放心"), message(3, "c2", text="您好")
    store.write_messages([StoredMessage(promise), StoredMessage(greeting)])
    judged = [
        verdict("c1-m1", outcome=Outcome.CLEAN),
        verdict("c2-m3", conversation="c2", outcome=Outcome.FLAGGED),
    ]
    store.write_verdicts(
        [
            StoredVerdict(replace(each, content_hash=content_hash(said)))
            for each, said in zip(judged, (promise, greeting), strict=True)
        ]
    )
    before = store.counts()
    store.close()
    out = tmp_path / "changes.jsonl"
    span = ["--from", "2025-01-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"]
    ended = CliRunner().invoke(
        app, ["replay", *span, "--rules-only", "--processes", "1", "--changes", str(out)]
    )
    assert 0 == ended.exit_code, ended.output
    assert "2 conversations, 2 messages judged, 2 would change" in ended.stderr
    changes = {
        each["message"]["message_id"]: each for each in map(orjson.loads, out.read_bytes().splitlines())
    }
    assert {"c1-m1": "newly_flagged", "c2-m3": "no_longer_flagged"} == {
        name: each["kind"] for name, each in changes.items()
    }
    assert "guaranteed_return" in {finding["label"] for finding in changes["c1-m1"]["after"]["findings"]}
    again = SqliteEventStore(tmp_path / "events.sqlite")
    assert before == again.counts()
    again.close()
    one = CliRunner().invoke(app, ["replay", "c2", *span, "--rules-only"])
    assert "1 conversations, 1 messages judged, 1 would change" in one.stderr
    assert 2 == CliRunner().invoke(app, ["replay", "--from", "2025-01-01"]).exit_code
    load_settings.cache_clear()


def test_a_model_and_rules_only_are_refused_together(redline: Redline) -> None:
    ended = redline("replay", "--model", "m2", "--rules-only")

    assert (2, "") == (ended.code, ended.out)
    assert "--model" in ended.err
    assert "does not go with --rules-only" in ended.err


def test_candidate_model_judges_with_the_decided_cases_as_a_worker_does(
    tmp_path: Path, small_pack: Path
) -> None:
    """Else whatever a decided case flagged would count as no longer flagged by any candidate."""
    settings = Settings(data_dir=tmp_path, pack=small_pack)
    write_cases(
        settings.case_memory_path,
        [
            RememberedCase(
                case_id="c1",
                action="confirmed",
                labels=("implied_guarantee",),
                decided_at=START,
                said=((Speaker.ADVISOR, LIKE_A_CASE),),
            )
        ],
    )
    candidate = Candidate(settings, model=str(builtin_model_path())).cascade()

    assert candidate.versions == build_cascade(settings).versions
    (judged,) = candidate.judge([turn(LIKE_A_CASE)])
    assert "memory" in {source.kind for finding in judged.findings for source in finding.sources}
