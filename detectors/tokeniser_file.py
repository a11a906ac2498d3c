"""The tokeniser of a model folder: our characters, or the tokeniser of a Hugging Face encoder."""

from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from detectors.errors import ModelError
from detectors.manifest import Manifest, listed_file
from detectors.tokens import Encoded, Tokeniser, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY_FILE = "vocabulary.txt"
TOKENISER_FILE = "tokenizer.json"
SPECIAL_FILE = "special_tokens.json"


def read_tokeniser(folder: Path, manifest: Manifest) -> Tokeniser:
    """
    The tokeniser that the manifest names.

    Raises ModelError when it names none, or one of a kind that is not installed or cannot be read.
    """
    if TOKENISER_FILE in manifest.files:
        listed_file(folder, manifest, SPECIAL_FILE)
        return FileTokeniser.load(folder)
    return Vocabulary.load(listed_file(folder, manifest, VOCABULARY_FILE))


class FileTokeniser:
    """A `tokenizer.json` with the ids of its special tokens. Needs the `tokenizers` package, not transformers."""

    def __init__(self, tokenizer: "Tokenizer", *, classify: int, separate: int, mask: int) -> None:
        self.classify = classify
        self.separate = separate
        self.mask = mask
        self._tokenizer = tokenizer

    def encode(self, text: str) -> Encoded:
        """The tokens with their characters. Every text gives the same tokens, whatever its neighbours."""
        found = self._tokenizer.encode(text, add_special_tokens=False)
        return Encoded(list(found.ids), [(start, end) for start, end in found.offsets])

    def save(self, folder: Path) -> None:
        """Write the files that `load` reads."""
        self._tokenizer.save(str(folder / TOKENISER_FILE))
        special = {"classify": self.classify, "separate": self.separate, "mask": self.mask}
        (folder / SPECIAL_FILE).write_bytes(orjson.dumps(special, option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "FileTokeniser":
        """Read the tokeniser of a model folder. Raises ModelError."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ModelError(
                f"{folder} holds a Hugging Face encoder, which needs the package tokenizers: "
                "in redline's checkout run .venv/bin/pip install --constraint constraints.txt --editable '.[encoders]' "
                "(not from PyPI, where redline-compliance is another project)"
            ) from error
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENISER_FILE))
            special = orjson.loads((folder / SPECIAL_FILE).read_bytes())
            ids = {name: int(special[name]) for name in ("classify", "separate", "mask")}
        except Exception as error:  # tokenizers raises bare exceptions
            raise ModelError(
                f"{folder}: the tokeniser cannot be read ({error}); copy the model folder again"
            ) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(tokenizer, **ids)
