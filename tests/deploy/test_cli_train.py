"""`redline train`: options that would silently do nothing are refused before anything is read."""

from pathlib import Path

import pytest

from tests.deploy.conftest import Redline

pytestmark = pytest.mark.training


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    "options", [("--asked-by", "other"), ("--teacher", "other"), ("--augment", "attacks")], ids=lambda o: o[0]
)
def test_a_model_that_keeps_its_weights_learns_from_nothing(
    redline: Redline, model: Path, options: tuple[str, str]
) -> None:
    ended = redline("train", "--base", str(model), "-o", "new", "--keep-weights", *options)
    assert 2 == ended.code
    assert f"nothing is learnt, so {options[0]} would do nothing" in " ".join(ended.err.split())


def test_weights_of_a_graph_need_the_encoder_that_it_was_trained_from(
    redline: Redline, model: Path, tmp_path: Path
) -> None:
    given = ("train", "-o", "new", "--weights-of", "second.onnx", "--base")
    for base in ((str(model),), (str(tmp_path), "--lora", "8")):
        ended = redline(*given, *base)
        assert 2 == ended.code
        assert "goes with a Hugging Face encoder as --base, without --lora" in " ".join(
            ended.err.replace("│", " ").split()
        )
