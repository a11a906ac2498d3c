"""Any Hugging Face encoder: trained, exported, calibrated and served like ours, without transformers."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.classifier import ModelDetector, OnnxClassifier
from feedback.corpus.seed import read_corpus
from feedback.dataset import Snapshot, build_snapshot
from rules.loader import load_pack
from tests.detectors.samples import turn

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

CATALOGUE = load_pack().catalogue
LABELS = list(CATALOGUE.labels)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 260,
}
OTHER_FAMILIES = ["roberta", "deberta-v2", "modernbert"]


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    rows = [row for row in read_corpus() if row.group == "w01"]
    return build_snapshot(rows[:400], [], LABELS)


@pytest.fixture(scope="module")
def bert(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished model folder of a BERT."""
    folder = tmp_path_factory.mktemp("bert")
    train(tiny_encoder(folder / "base", "bert"), snapshot, folder / "model")
    return folder / "model"


def tiny_encoder(folder: Path, family: str, *, layers: int = 1) -> Path:
    """An encoder directory with random weights, as save_pretrained writes it."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    characters = sorted({char for row in read_corpus() for char in row.turn.message.text})[:2500]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, "##a", "理财", "保本"]
    words = list(dict.fromkeys(word for word in words if word.strip()))
    table = {word: number for number, word in enumerate(words)}
    backend = Tokenizer(models.WordPiece(table, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.manual_seed(3)
    extra = {"local_attention": 16, "global_attn_every_n_layers": 1} if family == "modernbert" else {}
    config = AutoConfig.for_model(
        family, vocab_size=len(table), pad_token_id=0, num_hidden_layers=layers, **SIZES, **extra
    )
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def train(base: Path, snapshot: Snapshot, target: Path, *, lora_rank: int = 0) -> OnnxClassifier:
    from feedback.training.hf import HF_SETTINGS
    from feedback.training.start import start_from_base
    from feedback.training.train import train_model

    settings = HF_SETTINGS.model_copy(update={"epochs": 1})
    train_model(
        start_from_base(base, lora_rank=lora_rank),
        snapshot,
        [],
        LABELS,
        settings,
        target,
        created_at=NOW,
        code_version="test",
        on_step=lambda step, total, loss: None,
    )
    return OnnxClassifier(target)


@pytest.mark.parametrize("family", OTHER_FAMILIES)
def test_an_encoder_of_each_family_is_trained_and_served(
    family: str, snapshot: Snapshot, tmp_path: Path
) -> None:
    train(tiny_encoder(tmp_path / "base", family), snapshot, tmp_path / "model")
    assert_serves_what_was_trained(tmp_path / "model", snapshot)


def test_a_bert_is_trained_and_served(bert: Path, snapshot: Snapshot) -> None:
    assert_serves_what_was_trained(bert, snapshot)


def assert_serves_what_was_trained(folder: Path, snapshot: Snapshot) -> None:
    from feedback.training.examples import judged, make_examples
    from feedback.training.finetune import logits_of
    from feedback.training.weights import load_classifier

    served = OnnxClassifier(folder)
    assert LABELS == served.manifest.labels
    assert "base:base" == served.manifest.base
    assert served.space is not None
    model, tokeniser = load_classifier(folder, len(LABELS))
    rows = [row for row in judged(snapshot.dev) if len(row.turn.message.text) < 60][:30]
    examples = make_examples(rows, LABELS, tokeniser, served.limits)
    points = [served.manifest.thresholds[label] for label in LABELS]
    logits = logits_of(model, [example.item for example in examples])
    floats = 1 / (1 + np.exp(-(logits * [p.scale for p in points] + [p.shift for p in points])))
    probabilities = np.stack([reading.probabilities for reading in served.read([r.turn for r in rows])])
    assert len(rows) == len(examples)
    assert np.abs(floats - probabilities).mean() < 0.02


def test_words_of_several_characters_keep_their_evidence(bert: Path) -> None:
    served = OnnxClassifier(bert)
    detector = ModelDetector(served, CATALOGUE)
    text = "😂保本理财aaa，您放心" + "很长的一段话，" * 40
    (reading,) = served.read([turn(text, ("customer", "能保证吗"))])
    assert len(reading.text.text) == len(reading.saliency)
    assert np.isfinite(reading.saliency).all()
    for empty in ("", " ", "\u200b", "保" * 20_000):
        (opinion,) = detector.detect([turn(empty)])
        assert opinion.failure is None


def test_lora_trains_small_matrices_and_leaves_an_ordinary_model(snapshot: Snapshot, tmp_path: Path) -> None:
    from feedback.training.start import start_from_base
    from feedback.training.weights import load_classifier

    base = tiny_encoder(tmp_path / "base", "bert")
    encoder = start_from_base(base, lora_rank=2).encoder
    body = [p for name, p in encoder.named_parameters() if name.startswith("body")]
    learning = sum(p.numel() for p in body if p.requires_grad)
    assert 0 < learning < sum(p.numel() for p in body) / 5
    served = train(base, snapshot, tmp_path / "model", lora_rank=2)
    assert "base:base+lora2" == served.manifest.base
    model, _ = load_classifier(tmp_path / "model", len(LABELS))
    assert not [name for name, _ in model.named_parameters() if "lora" in name]


@pytest.mark.parametrize("family", ["bert", *OTHER_FAMILIES])
def test_layers_that_stand_still_are_the_lowest_in_each_family(family: str, tmp_path: Path) -> None:
    from feedback.training.start import start_from_base

    encoder = start_from_base(tiny_encoder(tmp_path, family, layers=3)).encoder
    encoder.keep_still(2)
    learning = {id(parameter) for parameter in encoder.parameters() if parameter.requires_grad}
    assert {id(parameter) for parameter in encoder.layers[2].parameters()} == learning


def test_lora_on_our_own_encoder_is_refused(tmp_path: Path) -> None:
    from feedback.training.errors import TrainingError
    from feedback.training.start import start_from_base

    with pytest.raises(TrainingError, match="for Hugging Face encoders"):
        start_from_base(tmp_path, lora_rank=4)


def test_a_folder_that_is_no_encoder_is_told(tmp_path: Path) -> None:
    from feedback.training.errors import TrainingError
    from feedback.training.start import start_from_base

    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(TrainingError, match="no Hugging Face encoder"):
        start_from_base(tmp_path)


def test_serving_needs_neither_transformers_nor_torch(bert: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom detectors.classifier import OnnxClassifier\n"
        "from tests.detectors.samples import turn\n"
        f"reading, = OnnxClassifier(Path({str(bert)!r})).read([turn('保本的，您放心')])\n"
        "assert len(reading.probabilities) == 10\n"
        "assert 'transformers' not in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
