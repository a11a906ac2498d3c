"""The arguments of every command that reads messages from a file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

STDIN: Literal["-"] = "-"

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="message JSONL, CSV or WeCom export; - reads standard input")
]
KindOption = Annotated[
    str | None, typer.Option("--kind", help="jsonl, csv or wecom; guessed from the file without it")
]
MappingOption = Annotated[
    Path | None, typer.Option("--mapping", help="YAML file that maps another CRM's columns to message fields")
]
EncodingOption = Annotated[
    str | None, typer.Option("--encoding", help="text encoding of the file, e.g. gb18030; UTF-8 without it")
]
