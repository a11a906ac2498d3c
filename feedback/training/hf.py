"""Any Hugging Face encoder under our heads: BERT, RoBERTa, MacBERT, DeBERTa, ModernBERT and their like."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from detectors.tokeniser_file import SPECIAL_FILE, TOKENISER_FILE, VOCABULARY_FILE, FileTokeniser
from detectors.tokens import MASK, Tokeniser, Vocabulary
from feedback.training.encoder import MOST_TURNS, ROLE_COUNT, EncoderShape, TurnEncoder
from feedback.training.errors import TrainingError
from feedback.training.settings import FinetuneSettings
from feedback.training.weights import HF_CONFIG_FILE, load_weights, save_weights

# A pre-trained encoder of this size is moved gently; LoRA's fresh matrices are not.
HF_SETTINGS = FinetuneSettings(epochs=4, rate=4e-5, weight_decay=0.01, dropout=0.1, character_dropout=0.08)
LORA_SETTINGS = HF_SETTINGS.model_copy(update={"rate": 4e-4})
LORA_DROPOUT = 0.05
SPEECH_FILE = "speech.npz"
# RoBERTa and its like count places from behind the padding id.
SPARED_PLACES = 2


class HfEncoder(TurnEncoder):
    """
    A Hugging Face encoder that reads our windows.

    Who spoke and how long ago are added to its word embeddings, from tables that start at
    zero: at the first step it is the encoder that was pre-trained. Padding is what nobody
    spoke (role 0), whatever id the tokeniser pads with.
    """

    def __init__(self, body: Any, *, noise_id: int, places: int) -> None:
        super().__init__()
        config = body.config
        self.body = body
        self.noise_id = noise_id
        self.longest = places
        self.shape = EncoderShape(
            vocabulary=int(config.vocab_size),
            width=int(config.hidden_size),
            layers=int(config.num_hidden_layers),
            heads=int(config.num_attention_heads),
            places=places,
        )
        self.roles = nn.Embedding(ROLE_COUNT, self.shape.width)
        self.ages = nn.Embedding(MOST_TURNS, self.shape.width)
        for table in (self.roles, self.ages):
            nn.init.zeros_(table.weight)

    @property
    def speech(self) -> nn.Module:
        """What is ours in it: who spoke, and how long ago."""
        return nn.ModuleDict({"roles": self.roles, "ages": self.ages})

    @property
    def token_table(self) -> nn.Embedding:
        table: nn.Embedding = self.body.get_input_embeddings()
        return table

    @property
    def layers(self) -> nn.ModuleList:
        # Families name theirs differently; it is the first list of as many modules as the config has layers.
        lists = (module for module in self.body.modules() if isinstance(module, nn.ModuleList))
        found: nn.ModuleList = next(module for module in lists if len(module) == self.shape.layers)
        return found

    def forward(self, ids: Tensor, roles: Tensor, ages: Tensor, places: Tensor) -> Tensor:
        """States of shape (windows, tokens, width). The body counts places itself."""
        words = self.token_table(ids)
        states: Tensor = self.body(
            inputs_embeds=words + self.roles(roles) + self.ages(ages),
            attention_mask=(roles != 0).long(),
        ).last_hidden_state
        return states

    def settle(self) -> None:
        """Merge what LoRA learnt into the weights, so that the model is served and stored as any other."""
        if hasattr(self.body, "merge_and_unload"):
            self.body = self.body.merge_and_unload()
            for parameter in self.body.parameters():
                parameter.requires_grad_(True)


def load_hf_encoder(folder: Path, *, lora_rank: int = 0) -> tuple[HfEncoder, Tokeniser]:
    """
    Read an encoder directory: config, weights, tokeniser. Nothing is fetched.

    A folder with our `vocabulary.txt` in the place of a tokeniser reads text as our own encoder does.

    Raises TrainingError when something is missing, when it is no encoder, or when its
    tokeniser is not of the fast kind.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    # It reports heads that the encoder is loaded without, and draws a bar for a second of reading.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        body: Any
        body, report = AutoModel.from_pretrained(
            folder, local_files_only=True, attn_implementation="eager", output_loading_info=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder} is no Hugging Face encoder that can be read: {error}") from error
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if missing:
        raise TrainingError(
            f"{folder}: {len(missing)} weights of its config are not in its files (such as {missing[0]}); "
            "training would start from chance there. Save the encoder again with save_pretrained(…)"
        )
    tokeniser = _own_vocabulary(folder, body.config) or _tokeniser(folder)
    places = _places(body.config, folder)
    if lora_rank:
        body = _with_lora(body, lora_rank)
    encoder = HfEncoder(body, noise_id=_noise(tokeniser), places=places)
    if (folder / SPEECH_FILE).is_file():
        load_weights(encoder.speech, folder / SPEECH_FILE)
    return encoder, tokeniser


def empty_hf_encoder(folder: Path) -> tuple[HfEncoder, Tokeniser]:
    """The encoder of a model folder that we wrote, before its weights are read."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    body: Any = AutoModel.from_config(config, attn_implementation="eager")
    tokeniser = _own_vocabulary(folder, config) or FileTokeniser.load(folder)
    return HfEncoder(body, noise_id=_noise(tokeniser), places=_places(config, folder)), tokeniser


def save_hf_base(folder: Path, encoder: HfEncoder, vocabulary: Vocabulary) -> None:
    """Write an encoder directory that `load_hf_encoder` reads: the body, our characters, and who spoke and when."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    encoder.body.save_pretrained(folder)
    vocabulary.save(folder / VOCABULARY_FILE)
    save_weights(encoder.speech, folder / SPEECH_FILE)


def save_hf_files(folder: Path, encoder: TurnEncoder, tokeniser: Tokeniser) -> list[str]:
    """Write config and tokeniser beside the weights; returns the names of the files."""
    if not isinstance(encoder, HfEncoder) or not isinstance(tokeniser, FileTokeniser | Vocabulary):
        raise TrainingError("encoder and tokeniser do not belong together")
    config = encoder.body.config
    config.name_or_path = ""  # the path of the machine that trained it
    config.to_json_file(folder / HF_CONFIG_FILE)
    if isinstance(tokeniser, Vocabulary):
        tokeniser.save(folder / VOCABULARY_FILE)
        return [HF_CONFIG_FILE, VOCABULARY_FILE]
    tokeniser.save(folder)
    return [HF_CONFIG_FILE, TOKENISER_FILE, SPECIAL_FILE]


def _own_vocabulary(folder: Path, config: Any) -> Vocabulary | None:
    path = folder / VOCABULARY_FILE
    if not path.is_file():
        return None
    vocabulary = Vocabulary.load(path)
    if len(vocabulary) != config.vocab_size:
        raise TrainingError(
            f"{path} has {len(vocabulary)} tokens, the encoder {config.vocab_size}: "
            "they do not belong together; make the folder again with 'redline import-encoder'"
        )
    return vocabulary


def _noise(tokeniser: Tokeniser) -> int:
    """The id that hides a token in training."""
    return tokeniser.mask if isinstance(tokeniser, FileTokeniser) else MASK


def _tokeniser(folder: Path) -> FileTokeniser:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    try:
        loaded: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        backend = loaded.backend_tokenizer
    except (OSError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise TrainingError(
            f"{folder}: no fast tokeniser can be made of what is there ({error}); "
            "save one with AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        ) from error
    first = loaded.cls_token_id if loaded.cls_token_id is not None else loaded.bos_token_id
    between = loaded.sep_token_id if loaded.sep_token_id is not None else loaded.eos_token_id
    hidden = loaded.mask_token_id if loaded.mask_token_id is not None else loaded.unk_token_id
    if first is None or between is None or hidden is None:
        raise TrainingError(
            f"{folder}: the tokeniser names no token for the beginning, the separator or the mask; "
            "set cls_token, sep_token and mask_token in its tokenizer_config.json"
        )
    plain = Tokenizer.from_str(backend.to_str())
    plain.no_padding()
    plain.no_truncation()
    return FileTokeniser(plain, classify=int(first), separate=int(between), mask=int(hidden))


def _places(config: Any, folder: Path) -> int:
    places = int(getattr(config, "max_position_embeddings", 0) or 0) - SPARED_PLACES
    if places < 1:
        raise TrainingError(f"{folder}: config.json names no max_position_embeddings; is it an encoder?")
    return places


def _with_lora(body: Any, rank: int) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=LORA_DROPOUT, target_modules="all-linear", bias="none"
    )
    return get_peft_model(body, config)
