"""`redline contract`: what teams that produce in other languages have to send, and whether they do."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import EXIT_FAILED, complain, say
from deploy.cli.lazy import FullHelpGroup
from deploy.cli.sources import STDIN
from deploy.clock import utc_now
from deploy.settings import load_settings
from streams.readers.records import read_records

if TYPE_CHECKING:
    from streams.topic_reader import TopicRecord

MOST_REMARKS = 200
NAMES = ("message", "verdict")

contract_app = typer.Typer(
    cls=FullHelpGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help=(
        "Show the contract for producers, and check what they send.\n\n"
        "The whole of it, with examples, is in streams/schemas/README.md."
    ),
)


@contract_app.command("show")
def show_cli(
    name: Annotated[str, typer.Argument(help="message or verdict")] = "message",
) -> None:
    """
    Print the JSON Schema of a message or of a verdict.

    Example: redline contract show message > message.v1.json
    """
    if name not in NAMES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(NAMES)}")
    schema = resources.files("streams") / "schemas" / f"{name}.v1.json"
    typer.echo(schema.read_text(encoding="utf-8").rstrip())


@contract_app.command("examples")
def examples_cli(
    refused: Annotated[
        bool, typer.Option("--refused", help="records that are refused, each with the reason")
    ] = False,
) -> None:
    """
    Print example records, one per line: for the tests of a producer in another language.

    Accepted ones are as on the wire. With --refused a line has `reason` and `record`, the bytes as text.
    """
    name = "refused.jsonl" if refused else "accepted.jsonl"
    file = resources.files("streams") / "schemas" / "examples" / name
    typer.echo(file.read_text(encoding="utf-8").rstrip())


@contract_app.command("check")
def check_cli(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="message JSON lines as produced; - is standard input"),
    ] = None,
    topic: Annotated[
        bool, typer.Option("--topic", help="check the records on REDLINE_KAFKA instead, keys as well")
    ] = False,
    last: Annotated[
        int, typer.Option("--last", min=1, help="with --topic: so many of each partition")
    ] = 1000,
    strict: Annotated[bool, typer.Option("--strict", help="warnings count as errors")] = False,
) -> None:
    """
    Check records against the contract, and tell what to mend: line or place, field, reason.

    Errors are what would become dead letters. Warnings are records that are judged, but perhaps not as they
    were meant. Nothing is sent.

    Exit code 0: no error. 1: there are errors. 2: bad usage or a file that cannot be read.

    Examples:

      redline contract check sample.jsonl

      redline contract check --topic --last 5000
    """
    from streams.contract import ContractCheck

    if (file is None) == (not topic):
        raise typer.BadParameter("name a file, or say --topic")
    check = ContractCheck(utc_now())
    if file is not None:
        remarks = check.file(read_records("-" if file == STDIN else Path(file), kind="jsonl"))
    else:
        remarks = check.topic(_last_records(last))
    errors, warnings = 0, 0
    for remark in remarks:
        is_error = strict or remark.level == "error"
        errors, warnings = errors + is_error, warnings + (not is_error)
        if errors + warnings <= MOST_REMARKS:
            complain(f"{'error' if is_error else 'warning'}: {remark}")
        elif errors + warnings == MOST_REMARKS + 1:
            complain("more follow; they are counted at the end")
    say(f"{check.records} records: {errors} errors, {warnings} warnings")
    if errors:
        raise typer.Exit(EXIT_FAILED)


def _last_records(last: int) -> "Iterator[TopicRecord]":
    from streams.topic_reader import TopicReader
    from streams.topics import MESSAGES

    with TopicReader(load_settings().broker) as reader:
        stretches = [
            replace(stretch, start=max(stretch.start, stretch.end - last))
            for stretch in reader.stretches(MESSAGES)
        ]
        yield from reader.read(stretches)
