"""`redline ablate`: what it learns from, and with which settings, is what `redline train` takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from feedback.dataset import split_of
from feedback.labelled import LabelledTurn
from tests.deploy.conftest import Redline
from tests.deploy.leaking_corpus import leaking_corpus

pytestmark = pytest.mark.training

OUR_BASE = Path(__file__).parents[2] / "feedback" / "training" / "base"
BY_RULES = ["slots", "register", "contrast", "attacks"]
ENDPOINT = {"REDLINE_JUDGE_URL": "http://127.0.0.1:9/v1", "REDLINE_JUDGE_MODEL": "qwen"}


@dataclass
class Asked:
    """What the command would have trained and measured."""

    trainer: Any
    train: list[LabelledTurn]
    measured: list[LabelledTurn]
    variants: list[str]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """The ablations that were asked for; none is run."""
    found: list[Asked] = []

    def remember(
        trainer: Any,
        train: Sequence[LabelledTurn],
        measured: Sequence[LabelledTurn],
        innocent: object,
        variants: Sequence[Any],
        **_: object,
    ) -> list[object]:
        found.append(Asked(trainer, list(train), list(measured), [variant.name for variant in variants]))
        return []

    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}", "utf-8")
    monkeypatch.setattr("deploy.cli.ablate.read_corpus", lambda: leaking_corpus()[0])
    monkeypatch.setattr("feedback.training.ablation.ablate", remember)
    return found


def test_a_large_encoder_is_moved_gently_and_nothing_of_the_golden_set_is_learnt(
    redline: Redline, asked: list[Asked]
) -> None:
    from feedback.training.hf import HF_SETTINGS

    assert 0 == redline("ablate", "--base", "base").code

    rows, leak = leaking_corpus()
    (ablation,) = asked
    assert HF_SETTINGS == ablation.trainer.settings
    assert ablation.train
    assert leak not in ablation.train
    assert [row for row in rows if split_of(row) == "test"] == ablation.measured


@pytest.mark.parametrize(
    ("named", "settings", "variants", "asks"),
    [
        ([], {}, ["none", *BY_RULES, "all"], False),
        ([], ENDPOINT, ["none", *BY_RULES, "paraphrase", "all"], True),
        (["paraphrase"], ENDPOINT, ["none", "paraphrase"], True),
        (["slots"], ENDPOINT, ["none", "slots"], False),
    ],
)
def test_the_language_model_is_a_source_like_the_others_where_there_is_one(
    redline: Redline,
    asked: list[Asked],
    named: list[str],
    settings: dict[str, str],
    variants: list[str],
    asks: bool,
) -> None:
    sources = [part for name in named for part in ("--source", name)]
    ended = redline("ablate", "--base", "base", *sources, **settings)

    assert 0 == ended.code, ended.err
    (ablation,) = asked
    assert variants == ablation.variants
    assert asks == (ablation.trainer.rewriter is not None)


def test_a_language_model_is_not_asked_where_no_samples_are_tried(
    redline: Redline, asked: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object) -> None:
        raise AssertionError("opened the language model")

    monkeypatch.setattr("deploy.cli.train.llm_rewriter", opened)
    ended = redline("ablate", "--base", str(OUR_BASE), "--of", "context", **ENDPOINT)

    assert 0 == ended.code, ended.err
    (ablation,) = asked
    assert ["none", "one text", "roles and ages apart"] == ablation.variants


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("slot", "no source of samples named slot; there are slots"),
        # it would be samples of slots and register under another name
        ("paraphrase", "set REDLINE_JUDGE_URL"),
    ],
)
def test_a_source_that_is_not_there_is_refused_before_anything_is_trained(
    redline: Redline, asked: list[Asked], source: str, told: str
) -> None:
    ended = redline("ablate", "--base", "base", "--source", source)

    assert ended.code
    assert told in " ".join(ended.err.split())
    assert [] == asked
