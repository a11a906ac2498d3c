"""The words that sources of samples work with: YAML files beside this module."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml


def read_data(name: str) -> dict[str, Any]:
    """The content of a file of this folder."""
    found: dict[str, Any] = yaml.safe_load(data_file(name).read_text("utf-8"))
    return found


def watched_words() -> frozenset[str]:
    """What an evader knows to be watched: the words on an ordinary keyword list."""
    found: dict[str, list[str]] = read_data("../evaluation/keywords/cn.yaml")
    return frozenset(word for words in found.values() for word in words)


def data_file(name: str) -> Path:
    """Where a file of this folder is."""
    return Path(str(resources.files("feedback"))) / "augment" / name
