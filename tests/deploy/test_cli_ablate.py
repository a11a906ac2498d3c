"""`redline ablate`: what it learns from, and with which settings, is what `redline train` takes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from feedback.dataset import split_of
from feedback.labelled import LabelledTurn
from tests.deploy.conftest import Redline
from tests.deploy.leaking_corpus import leaking_corpus

pytestmark = pytest.mark.training


def test_a_large_encoder_is_moved_gently_and_nothing_of_the_golden_set_is_learnt(
    redline: Redline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feedback.training.curve import EncoderTrainer
    from feedback.training.hf import HF_SETTINGS

    asked: list[tuple[EncoderTrainer, list[LabelledTurn], list[LabelledTurn]]] = []

    def remember(
        trainer: EncoderTrainer,
        train: Sequence[LabelledTurn],
        measured: Sequence[LabelledTurn],
        *others: object,
        **named: object,
    ) -> list[object]:
        asked.append((trainer, list(train), list(measured)))
        return []

    rows, leak = leaking_corpus()
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}", "utf-8")
    monkeypatch.setattr("deploy.cli.ablate.read_corpus", lambda: rows)
    monkeypatch.setattr("feedback.training.ablation.ablate", remember)

    assert 0 == redline("ablate", "--base", "base").code

    ((trainer, train, measured),) = asked
    assert HF_SETTINGS == trainer.settings
    assert train
    assert leak not in train
    assert [row for row in rows if split_of(row) == "test"] == measured
