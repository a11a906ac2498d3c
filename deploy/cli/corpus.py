"""`redline corpus`: the seed corpus as labelled messages, for measuring and for reading."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import orjson
import typer

from deploy.cli.console import say
from deploy.settings import load_settings
from deploy.wiring import load_rules
from feedback.corpus.agreement import (
    COMPLIANT_READING,
    LADDER_READING,
    SECOND_READING,
    agreement,
    read_second_readings,
)
from feedback.corpus.seed import read_corpus
from feedback.dataset import split_of
from feedback.labelled import LabelledTurn
from streams.codec import encode_message


class Split(StrEnum):
    """A part of the corpus, or how far its two readers agree."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"
    ALL = "all"
    AGREEMENT = "agreement"


class Reading(StrEnum):
    """A second, blind reading of the corpus."""

    WHOLE = "whole"
    LADDER = "ladder"
    COMPLIANT = "compliant"


READINGS = {
    Reading.WHOLE: SECOND_READING,
    Reading.LADDER: LADDER_READING,
    Reading.COMPLIANT: COMPLIANT_READING,
}


def corpus_cli(
    split: Annotated[
        Split, typer.Argument(help="the golden set is test: no model learns from it")
    ] = Split.ALL,
    reading: Annotated[
        Reading | None,
        typer.Option(
            "--reading",
            help="of 'agreement': whole conversations chosen by a hash, the messages with a label of the ladder "
            "(guarantee, hint, forecast), where readers differ most, or messages without a label "
            "[default: whole]",
        ),
    ] = None,
) -> None:
    """
    Print the seed corpus, or one part of it, as labelled message JSONL.

    `agreement` prints instead, as JSON, how far a second, blind reader agrees with
    the writers: Cohen's kappa per label.

    Example: redline corpus test > golden.jsonl && redline eval golden.jsonl
    """
    if split is Split.AGREEMENT:
        _print_agreement(READINGS[reading or Reading.WHOLE])
        return
    if reading:
        raise typer.BadParameter("goes with 'agreement'", param_hint="--reading")
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


def _print_agreement(reading: Path) -> None:
    labels = list(load_rules(load_settings()).catalogue.labels)
    found = agreement(read_second_readings(reading), labels)
    table = {
        name: {
            "messages": item.messages,
            "first_reader": item.first,
            "second_reader": item.second,
            "both": item.both,
            "kappa": round(item.kappa, 3),
        }
        for name, item in found.items()
    }
    typer.echo(orjson.dumps(table, option=orjson.OPT_INDENT_2).decode())
