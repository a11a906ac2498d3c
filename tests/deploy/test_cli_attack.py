"""`redline attack`: what the rules lose when words are disguised."""

import json
from pathlib import Path

import pytest

from tests.deploy.chats import PROMISE, SMALL_TALK, lines, record
from tests.deploy.conftest import Redline


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Two promises that the rules find, one that they do not, one clean message."""
    path = tmp_path / "labelled.jsonl"
    texts = [PROMISE, "这只产品保本的", "您懂的，跟上回一样", SMALL_TALK]
    labels = [["guaranteed_return"]] * 3 + [[]]
    path.write_bytes(
        lines(
            record(number, conversation_id=f"c{number}", text=text, labels=label)
            for number, (text, label) in enumerate(zip(texts, labels, strict=True))
        )
    )
    return path


def test_losses_are_told_by_kind(redline: Redline, labelled: Path, tmp_path: Path) -> None:
    ended = redline(
        "attack", str(labelled), "--kind", "zero_width", "--kind", "marks", "--json", "figures.json"
    )

    assert 0 == ended.code
    assert "2 labelled violations are found as they stand" in ended.err
    figures = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    assert [("zero_width", 2, 0), ("marks", 2, 0)] == [
        (kind["kind"], kind["tried"], kind["missed"])
        for kind in sorted(figures["kinds"], key=lambda kind: kind["kind"], reverse=True)
    ]


def test_an_unknown_kind_is_refused_with_a_hint(redline: Redline, labelled: Path) -> None:
    ended = redline("attack", str(labelled), "--kind", "homofone")

    assert 2 == ended.code
    assert "did you mean homophone?" in ended.err


def test_a_file_without_found_violations_is_refused(redline: Redline, tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    path.write_bytes(lines([record(1, text=SMALL_TALK, labels=[])]))

    ended = redline("attack", str(path))

    assert 2 == ended.code
    assert "nothing to disguise" in ended.err
