"""`redline scan`: messages in, verdicts out, in order."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from deploy.cli.console import UnwritableTarget, complain, progress_bar, say, write_lines
from deploy.cli.sources import STDIN, EncodingOption, FileArgument, KindOption, MappingOption
from deploy.settings import load_settings
from deploy.wiring import build_cascade, build_pipeline
from streams.codec import encode_verdict
from streams.embedded import ScanProgress, scan
from streams.readers.base import BadRecord
from streams.readers.records import read_records

MOST_COMPLAINTS = 50
FILE_BATCH = 64


def scan_cli(
    file: FileArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="write verdicts to this file (replaced) instead of to standard output"
        ),
    ] = None,
    kind: KindOption = None,
    mapping: MappingOption = None,
    encoding: EncodingOption = None,
    rules_only: Annotated[bool, typer.Option("--rules-only", help="judge without the classifier")] = False,
) -> None:
    """
    Judge every message of FILE and write one verdict (JSON) per line, in input order.

    A message needs message_id, conversation_id, sent_at (with UTC offset), speaker
    (advisor, customer, bot, other) and text. Other columns: see --mapping.

    A line that is no message is reported on standard error with its number and
    counted; the rest goes on. A repeated message_id is judged again and counted.

    Exit code 0: the file was read to its end. 1: the verdicts could not be written.
    2: bad usage, or a file, a setting or a rule pack that cannot be used.

    Examples:

      redline scan chats.jsonl > verdicts.jsonl

      redline scan export.csv --mapping our-crm.yaml -o verdicts.jsonl

      tail -f live.jsonl | redline scan -
    """
    settings = load_settings()
    if rules_only:
        settings = settings.model_copy(update={"use_model": False})
    pipeline = build_pipeline(build_cascade(settings))
    live = file == STDIN
    source = read_records("-" if live else Path(file), kind=kind, mapping=mapping, encoding=encoding)
    target = _target(output, file)
    last = ScanProgress(0, 0, 0, 0)
    duplicates = 0

    def lines(update: Callable[[int, str], None]) -> Iterator[bytes]:
        nonlocal last, duplicates
        complaints = 0

        def on_progress(progress: ScanProgress) -> None:
            nonlocal last
            last = progress
            update(progress.read, f"{progress.flagged} flagged, {progress.undecided} undecided")

        for result in scan(source, pipeline, batch_size=1 if live else FILE_BATCH, on_progress=on_progress):
            if isinstance(result, BadRecord):
                complaints += 1
                if complaints <= MOST_COMPLAINTS:
                    complain(str(result))
                elif complaints == MOST_COMPLAINTS + 1:
                    complain("more bad records follow; they are counted at the end")
                continue
            if result.duplicate:
                duplicates += 1
            yield encode_verdict(result.verdict)

    with progress_bar("scanning") as update, target:
        write_lines(lines(update), target, flush_each=live)
    say(_totals(last, duplicates))


def _target(output: Path | None, file: str) -> BinaryIO:
    """Where verdicts go. Opened before anything is judged; never the file that is read."""
    if output is None:
        return open(sys.stdout.fileno(), "wb", closefd=False)
    if file != STDIN and output.exists() and output.samefile(file):
        raise UnwritableTarget(f"{output}: is the file to read; name another for the verdicts")
    try:
        return output.open("wb")
    except OSError as error:
        raise UnwritableTarget(f"{output}: cannot be written: {error.strerror}") from error


def _totals(progress: ScanProgress, duplicates: int) -> str:
    repeated = f", {duplicates} of them repeats" if duplicates else ""
    records = "1 record" if progress.read == 1 else f"{progress.read} records"
    return (
        f"{records}: {progress.judged} judged{repeated}, {progress.flagged} flagged, "
        f"{progress.undecided} undecided, {progress.bad} not readable"
    )
