"""The model that ships serves from the first start."""

import json
from itertools import islice
from pathlib import Path

from detectors.manifest import read_manifest
from detectors.model_store import builtin_model_path
from feedback.corpus.seed import read_corpus
from streams.codec import encode_message
from tests.deploy.chats import lines, record
from tests.deploy.conftest import Redline


def test_verdicts_name_the_shipped_model_and_what_it_found(redline: Redline, tmp_path: Path) -> None:
    """Over chats of the seed corpus: not on any one message does the model have to agree with us."""
    chats = list(islice((row.turn.message for row in read_corpus()), 400))
    (tmp_path / "chats.jsonl").write_bytes(b"".join(encode_message(message) + b"\n" for message in chats))

    ended = redline("scan", "chats.jsonl")

    assert ended.code == 0
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert {read_manifest(builtin_model_path()).version} == {v["versions"]["model"] for v in found}
    assert not any(verdict["degraded"] for verdict in found)
    sources = [source for v in found for finding in v["findings"] for source in finding["sources"]]
    assert "model" in {source["kind"] for source in sources}


def test_rules_only_asks_no_model(redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_bytes(lines([record()]))

    (verdict,) = map(json.loads, redline("scan", "chats.jsonl", "--rules-only").out.splitlines())

    assert verdict["versions"]["model"] is None


def test_shipped_model_is_listed_in_service(redline: Redline) -> None:
    ended = redline("models", "list")

    (row,) = (row for row in ended.out.splitlines() if "▶" in row)
    assert "(shipped)" in row


def test_model_alone_can_be_measured(redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "labelled.jsonl").write_bytes(lines([record(labels=["guaranteed_return"])]))

    ended = redline("eval", "labelled.jsonl", "--model-only")

    assert ended.code == 0
    assert "1 messages, 1 of them violating" in ended.out
