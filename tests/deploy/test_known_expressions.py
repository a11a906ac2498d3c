"""What a process found out of the rules' expressions waits for the next one, where there is a place for it."""

from pathlib import Path

from deploy.settings import Settings
from deploy.wiring import build_cascade
from rules.known_expressions import KNOWN


def test_what_was_found_out_lies_in_the_data_folder(tmp_path: Path) -> None:
    KNOWN.take(f"something new {tmp_path}")
    build_cascade(Settings(use_model=False, data_dir=tmp_path))
    assert (tmp_path / "cache" / "expressions.json").exists()


def test_no_data_folder_is_made_for_it(tmp_path: Path) -> None:
    KNOWN.take(f"something new {tmp_path}")
    build_cascade(Settings(use_model=False, data_dir=tmp_path / "none"))
    assert not (tmp_path / "none").exists()
