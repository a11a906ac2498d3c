"""The model card that every training run writes: what the model learnt from, how good it is, where it ends."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from detectors.manifest import Manifest

CARD_FILE = "CARD.md"


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write `CARD.md` from the manifest alone, so that the card cannot say anything else."""
    environment = Environment(
        loader=PackageLoader("feedback", "training/templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 — Markdown, from our own manifest
        trim_blocks=True,
        lstrip_blocks=True,
    )
    size = sum((folder / name).stat().st_size for name in manifest.files if (folder / name).is_file())
    text = environment.get_template("card.md.j2").render(m=manifest, size_mb=size / 1e6)
    (folder / CARD_FILE).write_text(text.rstrip() + "\n", "utf-8")
