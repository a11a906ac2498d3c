"""The model card that every training run writes: what the model learnt from, how good it is, where it ends."""

from pathlib import Path

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from detectors.manifest import Manifest
from detectors.tokens import SPECIAL_TOKENS
from feedback.training.weights import HF_CONFIG_FILE, SHAPE_FILE

CARD_FILE = "CARD.md"
SEED = "seed:"


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write `CARD.md` from the manifest and the encoder's shape alone, so that the card cannot say anything else."""
    environment = Environment(
        loader=PackageLoader("feedback", "training/templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 — Markdown, from our own manifest
        trim_blocks=True,
        lstrip_blocks=True,
    )
    size = sum((folder / name).stat().st_size for name in manifest.files if (folder / name).is_file())
    sources = manifest.dataset.sources
    text = environment.get_template("card.md.j2").render(
        m=manifest,
        size_mb=size / 1e6,
        encoder=_encoder(folder),
        seed=[count for source, count in sources.items() if source.startswith(SEED)],
        others={source: count for source, count in sources.items() if not source.startswith(SEED)},
    )
    (folder / CARD_FILE).write_text(text.rstrip() + "\n", "utf-8")


def _encoder(folder: Path) -> str:
    if (folder / SHAPE_FILE).is_file():
        shape = orjson.loads((folder / SHAPE_FILE).read_bytes())
        return (
            f"a character-level transformer of our own, {shape['layers']} layers of {shape['width']} "
            f"with {shape['heads']} heads, {shape['vocabulary'] - len(SPECIAL_TOKENS):,} characters "
            f"and {len(SPECIAL_TOKENS)} special tokens"
        )
    config = orjson.loads((folder / HF_CONFIG_FILE).read_bytes())
    return (
        f"{config.get('model_type', 'a Hugging Face encoder')}, {config.get('num_hidden_layers', '?')} layers "
        f"of {config.get('hidden_size', '?')}"
    )
