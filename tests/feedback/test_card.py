"""The model card says what the manifest says, and the one that ships is such a card."""

from pathlib import Path

import pytest

from detectors.manifest import read_manifest
from detectors.model_store import builtin_model_path

pytestmark = pytest.mark.training

BY_HAND, AFTER_IT = "### How this one was made\n", "## How good\n"


def _card(folder: Path, sources: dict[str, int] | None = None) -> str:
    """A new card of the shipped model, in a folder of its own, as if it had learnt from these sources."""
    from feedback.training.card import CARD_FILE, write_card

    shipped = builtin_model_path()
    manifest = read_manifest(shipped)
    for name in manifest.files:
        (folder / name).symlink_to(shipped / name)
    if sources is not None:
        dataset = manifest.dataset.model_copy(update={"sources": sources})
        manifest = manifest.model_copy(update={"dataset": dataset})
    write_card(folder, manifest)
    return (folder / CARD_FILE).read_text("utf-8")


def test_the_shipped_card_is_written_from_its_manifest_but_for_the_part_added_by_hand(tmp_path: Path) -> None:
    before, _, rest = (builtin_model_path() / "CARD.md").read_text("utf-8").partition(BY_HAND)
    _, _, after = rest.partition(AFTER_IT)
    assert _card(tmp_path) == before + AFTER_IT + after


def test_the_card_sums_up_the_writers_of_the_corpus_and_lists_reviewers(tmp_path: Path) -> None:
    card = _card(tmp_path, {"case:wang": 5, "seed:w01": 30, "seed:w02": 12})
    assert "- seed: 2 writers, 42 messages " in card
    assert "- case:wang: 5 messages\n" in card
    assert "seed:w01" not in card


def test_the_card_counts_violations_among_what_was_judged(tmp_path: Path) -> None:
    dev = read_manifest(builtin_model_path()).scores["dev"]
    share = 100 * dev["violating"] / dev["messages"]
    assert f"in which {share:.0f} % of the judged messages violate" in _card(tmp_path)
