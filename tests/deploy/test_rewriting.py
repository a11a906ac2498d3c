"""`redline train --augment paraphrase` over a real HTTP server: who is asked, with which key, and who is not."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.rewriting import llm_rewriter
from deploy.settings import Settings
from detectors.manifest import Manifest, read_manifest
from detectors.model_store import builtin_model_path
from feedback.augment.paraphrase import may_be_said_anew
from feedback.augment.rewriter import RewriterFailed
from feedback.corpus.seed import read_corpus, seed_files
from tests.deploy.conftest import Redline
from tests.llm_endpoint import LlmEndpoint, Reply, llm_endpoint

KEY = "sk-geheim-geheim"


def echo(told: dict[str, Any]) -> str:
    return json.dumps({"text": told["text"], "evidence": told["evidence"]})


@pytest.fixture
def server() -> Iterator[LlmEndpoint]:
    with llm_endpoint(echo) as serving:
        yield serving


def first_row() -> Any:
    return next(row for row in read_corpus(seed_files()[:1]) if may_be_said_anew(row))


def test_without_an_endpoint_there_is_nothing_to_ask() -> None:
    with llm_rewriter(Settings()) as rewriter:
        assert rewriter is None


def test_the_endpoint_of_the_judge_is_asked_with_its_key_and_its_failure_is_told(server: LlmEndpoint) -> None:
    settings = Settings.model_validate(
        {
            "judge_url": server.url,
            "judge_model": "qwen",
            "judge_key": KEY,
            "judge_per_minute": 60_000,
        }
    )
    server.says = lambda told: Reply(status=401)
    with llm_rewriter(settings) as rewriter:
        assert rewriter is not None
        with pytest.raises(RewriterFailed, match="HTTP status 401") as caught:
            rewriter.rewrite(first_row(), random.Random(1))
    assert [f"Bearer {KEY}"] == server.bearers
    assert ["qwen"] == [request["model"] for request in server.asked]
    assert KEY not in str(caught.value)


@pytest.mark.training
@pytest.mark.parametrize(("source", "asks"), [("paraphrase", True), ("slots", False)])
def test_training_gets_a_rewriter_only_where_it_names_paraphrase(
    redline: Redline,
    server: LlmEndpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    asks: bool,
) -> None:
    given: list[Any] = []

    def train_model(*_: object, rewriter: Any, **__: object) -> Manifest:
        given.append(rewriter)
        return read_manifest(builtin_model_path(), verify=False)

    monkeypatch.setattr("feedback.training.train.train_model", train_model)
    monkeypatch.setattr("deploy.cli.train.read_corpus", lambda: list(read_corpus(seed_files()[:1])))
    ended = redline(
        "train",
        "--base",
        str(Path(__file__).parents[2] / "feedback" / "training" / "base"),
        "-o",
        str(tmp_path / "new"),
        "--augment",
        source,
        REDLINE_JUDGE_URL=server.url,
        REDLINE_JUDGE_MODEL="qwen",
    )
    assert 0 == ended.code, ended.err
    assert [asks] == [each is not None for each in given]
