"""The ablation trains every variant alike and measures it alike; new samples reach the training and the manifest."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from detectors.domain import Message, Speaker, Turn
from detectors.tokens import InputLimits
from feedback.corpus.seed import read_corpus
from feedback.dataset import split_of
from feedback.labelled import LabelledTurn
from rules.loader import load_pack

pytestmark = pytest.mark.training

LABELS = list(load_pack().catalogue.labels)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def test_every_variant_is_trained_on_its_samples_and_measured(tmp_path: Path) -> None:
    from detectors.manifest import read_manifest
    from feedback.training.ablation import ablate, source_variants
    from feedback.training.curve import EncoderTrainer
    from feedback.training.settings import FinetuneSettings
    from tests.feedback.test_training import small_base

    corpus = [row for row in read_corpus() if row.group == "w01"]
    parts = {name: [row for row in corpus if split_of(row) == name] for name in ("train", "dev", "test")}
    told: list[str] = []
    work = tmp_path / "work"
    work.mkdir()
    trainer = EncoderTrainer(
        small_base(tmp_path), parts["dev"], [], LABELS, FinetuneSettings(epochs=1), work, NOW, "test",
        lambda step, total, loss: None, told.append,
    )  # fmt: skip

    found = ablate(trainer, parts["train"], parts["test"], {}, source_variants(["contrast"]))

    assert ["none", "contrast"] == [item.name for item in found]
    sizes = {item.report.evaluation.messages for item in found}
    assert 1 == len(sizes)
    settings = [read_manifest(work / f"model-{number}").settings["augment"] for number in (0, 1)]
    assert [[], ["contrast"]] == settings
    assert [True] == ["of quoted" in text for text in told if text.startswith("new samples")]
    assert (work / "model-1" / "CARD.md").read_text("utf-8").startswith("# Model card")
    plain, contrast = (read_manifest(work / f"model-{number}") for number in (0, 1))
    listed = (work / "model-1" / "samples.jsonl").read_bytes().splitlines()
    assert {"quoted", "elsewhere"} <= set(contrast.dataset.samples)
    assert len(listed) == sum(contrast.dataset.samples.values())
    assert "samples.jsonl" in contrast.files
    assert ({}, False) == (plain.dataset.samples, "samples.jsonl" in plain.files)
    assert "- elsewhere: " in (work / "model-1" / "CARD.md").read_text("utf-8")


def test_the_messages_before_as_one_text_read_as_many_characters_and_evidence_moves_with_the_text() -> None:
    from feedback.training.ablation import context_variants

    at = datetime(2026, 3, 2, tzinfo=UTC)
    said = [("a", "能保证6%吗"), ("b", "我先看看" * 20), ("c", "没问题")]
    asked, thought, answer = (Message(name, "c", at, Speaker.ADVISOR, text) for name, text in said)
    row = LabelledTurn(Turn(answer, (asked, thought)), frozenset({"guaranteed_return"}), ((0, 3),))
    limits = InputLimits(message=10, context=8, turns=2)
    none, flat, apart = context_variants(limits, 127)

    shown = flat.view(row)
    text = shown.turn.message.text
    assert "能保证6%吗\n我先看看我先看看\n没问题" == text
    assert ["没问题"] == [text[start:end] for start, end in shown.evidence]
    assert () == shown.turn.before
    assert (0, 0, 2) == tuple(each.changes["limits"].turns for each in (none, flat, apart))
    assert limits.message + 2 * (limits.context + 1) == flat.changes["limits"].message
    assert row == none.view(row) == apart.view(row)
    assert 20 == context_variants(limits, 20)[1].changes["limits"].message
