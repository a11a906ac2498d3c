"""`redline corpus`: the seed corpus as labelled messages, for measuring and for reading."""

from enum import StrEnum
from typing import Annotated

import orjson
import typer

from deploy.cli.console import say
from feedback.corpus.seed import read_corpus
from feedback.dataset import split_of
from feedback.labelled import LabelledTurn
from streams.codec import encode_message


class Split(StrEnum):
    """A part of the corpus."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"
    ALL = "all"


def corpus_cli(
    split: Annotated[
        Split, typer.Argument(help="the golden set is test: no model learns from it")
    ] = Split.ALL,
) -> None:
    """
    Print the seed corpus, or one part of it, as labelled message JSONL.

    Example: redline corpus test > golden.jsonl && redline eval golden.jsonl
    """
    count = 0
    for row in read_corpus():
        if split in (Split.ALL, split_of(row)):
            count += 1
            typer.echo(_line(row))
    say(f"{count} messages")


def _line(row: LabelledTurn) -> bytes:
    record = orjson.loads(encode_message(row.turn.message))
    labels = {
        "labels": sorted(row.labels),
        "evidence": [list(span) for span in row.evidence],
        "tags": list(row.tags),
    }
    return orjson.dumps(record | labels)
