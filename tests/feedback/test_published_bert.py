"""A BERT that was published as ONNX becomes an encoder that reads our characters and says the same."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from detectors.tokens import SPECIAL_TOKENS, Vocabulary
from feedback.training.errors import TrainingError

pytestmark = pytest.mark.training

CHARACTERS = "这个产品没有风险放心买收益率大概左右吧4%,?"
# Their order, and words that we do not have.
THEIRS = [*SPECIAL_TOKENS[:1], "[unused1]", *SPECIAL_TOKENS[1:], "##a", *reversed(CHARACTERS), "2026"]
OURS = Vocabulary([*CHARACTERS, "🚀"])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a registry would carry it."""
    folder = tmp_path_factory.mktemp("published")
    export(tiny_bert(), folder / "tiny.onnx")
    words = {word: number for number, word in enumerate(THEIRS)}
    (folder / "tiny-tokenizer.json").write_bytes(orjson.dumps({"model": {"vocab": words}}))
    return folder


def tiny_bert() -> Any:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(THEIRS),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        attn_implementation="eager",
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # of equal biases the exporter keeps one
    return model


def export(model: Any, path: Path) -> None:
    import torch

    class Under(torch.nn.Module):
        """A name of its own, and positional arguments, which the exporter needs."""

        def __init__(self) -> None:
            super().__init__()
            self.bert = model

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.bert(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    ids = torch.ones((1, 6), dtype=torch.long)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Under().eval(),
            (ids, ids, ids * 0),
            str(path),
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
            dynamo=False,
        )


@pytest.mark.parametrize("packed", [False, True])
def test_it_says_the_same_of_our_characters(published: Path, tmp_path: Path, packed: bool) -> None:
    from feedback.training.hf import load_hf_encoder
    from feedback.training.published_bert import import_bert

    source = published
    if packed:
        source = tmp_path / "library.jar"
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("META-INF/x", b"")
            for file in published.iterdir():
                archive.write(file, file.name)
    made = import_bert(source, OURS, tmp_path / "encoder")
    assert (2, 128, ("🚀",)) == (made.layers, made.width, made.unknown)

    import torch

    encoder, vocabulary = load_hf_encoder(tmp_path / "encoder")
    assert isinstance(vocabulary, Vocabulary)
    assert OURS.characters == vocabulary.characters
    text = "没有风险吧?"
    ids = torch.tensor([[vocabulary.classify, *vocabulary.encode(text).ids, vocabulary.separate]])
    original = torch.tensor([[THEIRS.index(token) for token in ("[CLS]", *text, "[SEP]")]])
    with torch.no_grad():
        ours = encoder(ids, torch.ones_like(ids), torch.zeros_like(ids), torch.zeros_like(ids))
        theirs = tiny_bert()(original).last_hidden_state
    assert np.allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_what_is_no_published_bert_is_refused_by_name(published: Path, tmp_path: Path) -> None:
    from feedback.training.published_bert import import_bert

    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"one \*\.onnx and one \*tokenizer\.json; found 0 and 0"):
        import_bert(tmp_path / "empty", OURS, tmp_path / "out")
    (tmp_path / "text.jar").write_text("no archive")
    with pytest.raises(TrainingError, match="neither a folder nor a jar"):
        import_bert(tmp_path / "text.jar", OURS, tmp_path / "out")
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.onnx").write_bytes((published / "tiny.onnx").read_bytes())
    (other / "tokenizer.json").write_bytes(orjson.dumps({"model": {"vocab": {"a": 1}}}))
    with pytest.raises(TrainingError, match=r"lacks \[PAD\]"):
        import_bert(other, OURS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_encoder_that_computes_otherwise_is_refused(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feedback.training import published_bert

    monkeypatch.setattr(published_bert, "HEAD_WIDTH", 32)
    with pytest.raises(TrainingError, match="differs from the original"):
        published_bert.import_bert(published, OURS, tmp_path / "out")


def test_a_folder_whose_parts_do_not_belong_together_is_refused(published: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from feedback.training.hf import load_hf_encoder
    from feedback.training.published_bert import import_bert

    folder = tmp_path / "encoder"
    import_bert(published, OURS, folder)
    Vocabulary([*OURS.characters, "新"]).save(folder / "vocabulary.txt")
    with pytest.raises(TrainingError, match="do not belong together"):
        load_hf_encoder(folder)
    OURS.save(folder / "vocabulary.txt")
    weights = load_file(folder / "model.safetensors")
    weights["strange"] = weights.pop("encoder.layer.0.intermediate.dense.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match=r"1 weights of its config are not in its files .*intermediate"):
        load_hf_encoder(folder)


def test_a_graph_that_cannot_be_read_is_told(published: Path, tmp_path: Path) -> None:
    from feedback.training.published_bert import import_bert

    (tmp_path / "x.onnx").write_bytes(b"no graph")
    (tmp_path / "tokenizer.json").write_bytes((published / "tiny-tokenizer.json").read_bytes())
    with pytest.raises(TrainingError, match=r"x\.onnx cannot be read"):
        import_bert(tmp_path, OURS, tmp_path / "out")


def test_it_learns_on_from_text_and_keeps_what_it_learnt_of_speakers(published: Path, tmp_path: Path) -> None:
    import torch

    from detectors.domain import Speaker
    from detectors.tokens import InputLimits
    from feedback.training.hf import load_hf_encoder
    from feedback.training.packed import pack
    from feedback.training.pretrain import PretrainSettings, pretrain
    from feedback.training.published_bert import import_bert
    from feedback.training.weights import save_base

    import_bert(published, OURS, tmp_path / "encoder")
    encoder, _ = load_hf_encoder(tmp_path / "encoder")
    before = encoder.token_table.weight.detach().clone()
    said = [
        (Speaker.CUSTOMER, "这个产品有没有风险?"),
        (Speaker.ADVISOR, "没有风险,放心买吧,收益率大概4%左右"),
    ]
    losses: list[float] = []
    learnt = pretrain(
        pack([said] * 200, OURS),
        encoder.shape,
        InputLimits(),
        PretrainSettings(tokens_per_batch=512, peak_rate=3e-3, warmup_steps=2, passes=2),
        checkpoint=tmp_path / "checkpoint.pt",
        on_step=lambda step, total, loss: losses.append(loss),
        start=encoder,
    )
    assert sum(losses[-5:]) < sum(losses[:5])
    assert not torch.equal(before, learnt.token_table.weight)

    save_base(tmp_path / "adapted", learnt, OURS)
    again, vocabulary = load_hf_encoder(tmp_path / "adapted")
    assert isinstance(vocabulary, Vocabulary)
    assert again.roles.weight.abs().sum() > 0
    ids = torch.tensor([[vocabulary.classify, *vocabulary.encode("没有风险吧").ids]])
    feed = (ids, torch.ones_like(ids), torch.zeros_like(ids), torch.zeros_like(ids))
    with torch.no_grad():
        one, other = learnt.eval()(*feed), again.eval()(*feed)
    assert torch.allclose(one, other, atol=0.02)  # roles and ages are kept in half precision


def test_text_packed_for_other_characters_is_refused(published: Path, tmp_path: Path) -> None:
    from feedback.training.hf import load_hf_encoder
    from feedback.training.pretrain import grown
    from feedback.training.published_bert import import_bert

    import_bert(published, OURS, tmp_path / "encoder")
    encoder, _ = load_hf_encoder(tmp_path / "encoder")
    assert encoder is grown(encoder, OURS, OURS)
    for other in (Vocabulary([*OURS.characters, "稳"]), Vocabulary(list("稳"))):
        with pytest.raises(TrainingError, match="pack it again with --start"):
            grown(encoder, OURS, other)
