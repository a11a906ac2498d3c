"""A model that cannot be trusted or does not fit: the rules judge on, every verdict is degraded, and it is told."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from deploy import score_server
from detectors import model_store
from detectors.domain import Outcome
from streams import engine
from streams.codec import decode_message
from streams.context import ConversationContext, MemoryContext
from streams.pipeline import Pipeline
from tests.deploy.chats import PROMISE, SMALL_TALK, lines, record
from tests.deploy.conftest import Redline
from tests.deploy.model_folders import make_model

RECORDS = [record(1, text=PROMISE), record(2, text=SMALL_TALK)]


def altered_graph(folder: Path) -> None:
    make_model(folder, "m1")
    with (folder / "model.onnx").open("ab") as graph:
        graph.write(b"\0")


def threshold_set_by_hand(folder: Path) -> None:
    make_model(folder, "m1")
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    content["thresholds"]["guaranteed_return"]["flag"] = 0.9
    manifest.write_text(json.dumps(content, indent=2))


def graph_that_nothing_vouches_for(folder: Path) -> None:
    """As a folder of an older redline, without a seal, whose manifest somebody shortened."""
    make_model(folder, "m1")
    content = json.loads((folder / "manifest.json").read_text())
    del content["files"]["model.onnx"], content["seal"]
    (folder / "manifest.json").write_text(json.dumps({**content, "schema_version": 1}))


def missing(folder: Path) -> None:
    make_model(folder, "m1")
    shutil.rmtree(folder)


def of_another_catalogue(folder: Path) -> None:
    make_model(folder, "m1", labels=("jaywalking",))


HARM = pytest.mark.parametrize(
    ("harm", "wrong", "cure"),
    [
        (altered_graph, "model.onnx was altered", "copy the model again or roll back"),
        (threshold_set_by_hand, "manifest.json was altered", "copy the model again or roll back"),
        (graph_that_nothing_vouches_for, "names no model.onnx", "copy the whole model folder again"),
        (missing, "is no model folder", "give one made by 'redline train'"),
        (of_another_catalogue, "jaywalking", "retrain it with this catalogue or roll back"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
Harm = Callable[[Path], None]


@pytest.fixture
def in_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Harm], None]:
    """Puts a harmed model into service."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr(model_store, "builtin_model_path", lambda: folder)
    return lambda harm: harm(folder)


def judged(verdicts: list[dict[str, Any]]) -> list[tuple[str, bool, Any]]:
    return [(verdict["outcome"], verdict["degraded"], verdict["versions"]["model"]) for verdict in verdicts]


BY_RULES_ALONE = [("flagged", True, "missing"), ("undecided", True, "missing")]


@HARM
def test_scan_judges_by_the_rules_and_says_why(
    redline: Redline, in_service: Callable[[Harm], None], tmp_path: Path, harm: Harm, wrong: str, cure: str
) -> None:
    in_service(harm)
    (tmp_path / "chats.jsonl").write_bytes(lines(RECORDS))

    ended = redline("scan", "chats.jsonl")

    assert ended.code == 0
    assert BY_RULES_ALONE == judged([json.loads(line) for line in ended.out.splitlines()])
    (told,) = (line for line in ended.err.splitlines() if "model_not_loaded" in line)
    assert wrong in told
    assert cure in told
    assert "verdicts are degraded" in told


@HARM
def test_score_judges_by_the_rules_and_says_why(
    redline: Redline,
    in_service: Callable[[Harm], None],
    monkeypatch: pytest.MonkeyPatch,
    harm: Harm,
    wrong: str,
    cure: str,
) -> None:
    in_service(harm)
    answers: list[httpx.Response] = []

    async def ask(app: Starlette) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://score") as client:
            answers.extend(
                [await client.post("/v1/score", content=orjson.dumps({"message": item})) for item in RECORDS]
            )

    monkeypatch.setattr(score_server, "serve", lambda app, host, port: asyncio.run(ask(app)))

    ended = redline("score")

    assert [200, 200] == [answer.status_code for answer in answers]
    assert BY_RULES_ALONE == judged([answer.json() for answer in answers])
    assert wrong in ended.err
    assert cure in ended.err


@HARM
def test_worker_judges_by_the_rules_and_says_why(
    redline: Redline,
    in_service: Callable[[Harm], None],
    monkeypatch: pytest.MonkeyPatch,
    harm: Harm,
    wrong: str,
    cure: str,
) -> None:
    in_service(harm)
    heard: list[tuple[Outcome, bool, str | None]] = []

    def run(
        _: object, config: object, pipeline: Callable[[ConversationContext], Pipeline], *, metrics: object
    ) -> None:
        """The broker aside: what the worker does with the messages of a batch."""
        done = pipeline(MemoryContext()).process([decode_message(item) for item in RECORDS])
        heard.extend((d.verdict.outcome, d.verdict.degraded, d.verdict.versions.model) for d in done)

    monkeypatch.setattr(engine, "run_worker", run)

    ended = redline("worker")

    assert BY_RULES_ALONE == heard
    assert wrong in ended.err
    assert cure in ended.err


def test_a_promoted_model_that_is_gone_is_told(redline: Redline, tmp_path: Path) -> None:
    added = redline("models", "add", str(make_model(tmp_path / "second", "second")))
    assert added.code == 0, added.err
    assert 0 == redline("models", "promote", "second", "--reason", "better recall").code
    shutil.rmtree(tmp_path / "data" / "models" / "second")
    (tmp_path / "chats.jsonl").write_bytes(lines(RECORDS))

    ended = redline("scan", "chats.jsonl")

    assert BY_RULES_ALONE == judged([json.loads(line) for line in ended.out.splitlines()])
    assert "no model 'second'" in ended.err
    assert "redline models list" in ended.err


def test_labels_that_the_model_does_not_know_are_told(
    redline: Redline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = make_model(tmp_path / "shipped", "m1")
    monkeypatch.setattr(model_store, "builtin_model_path", lambda: shipped)
    (tmp_path / "chats.jsonl").write_bytes(b"")

    started, shown = redline("scan", "chats.jsonl"), redline("models", "show")

    (told,) = (json.loads(line) for line in started.err.splitlines() if "model_lacks_labels" in line)
    assert "implied_guarantee" in told["labels"]
    assert "guaranteed_return" not in told["labels"]
    assert "implied_guarantee" in shown.err
    assert "m1" == json.loads(shown.out)["version"]


def test_the_shipped_model_knows_every_label(redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_bytes(b"")

    assert "model_lacks_labels" not in redline("scan", "chats.jsonl").err
    assert "does not know" not in redline("models", "show").err


def test_a_verdict_names_a_model_that_may_not_deny(redline: Redline, tmp_path: Path) -> None:
    """The setting changes outcomes, so it is part of what must be equal; the usual one leaves no mark."""
    (tmp_path / "chats.jsonl").write_bytes(lines(RECORDS[:1]))
    version = json.loads(redline("models", "show").out)["version"]

    usual = redline("scan", "chats.jsonl")
    kept = redline("scan", "chats.jsonl", REDLINE_MODEL_MAY_DENY="false")

    assert [version] == [json.loads(line)["versions"]["model"] for line in usual.out.splitlines()]
    (verdict,) = (json.loads(line) for line in kept.out.splitlines())
    assert f"{version};may_deny=false" == verdict["versions"]["model"]
    sources = [source for finding in verdict["findings"] for source in finding["sources"]]
    assert {version} >= {source["version"] for source in sources if source["kind"] == "model"}
