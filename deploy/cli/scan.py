"""`redline scan`: messages in, verdicts out, in order."""

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from deploy.cli.complaints import Complaints
from deploy.cli.console import UnwritableTarget, progress_bar, say, write_lines
from deploy.cli.sources import STDIN, EncodingOption, FileArgument, KindOption, MappingOption
from deploy.judging import asking_judge, told
from deploy.settings import load_settings
from deploy.wiring import build_cascade, build_pipeline
from detectors.domain import Message
from streams.codec import encode_verdict
from streams.embedded import ScanProgress, scan
from streams.pipeline import Judge
from streams.readers.base import BadRecord, Numbered
from streams.readers.records import numbered_records
from streams.second_opinion import OpinionResult

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
    ask_judge: Annotated[
        bool,
        typer.Option("--judge", help="ask the LLM of REDLINE_JUDGE_URL about undecided messages (slow)"),
    ] = False,
    report_file: Annotated[
        Path | None,
        typer.Option(
            "--report", help="write every record that was not readable or repeated (JSON lines) to this file"
        ),
    ] = None,
) -> None:
    """
    Judge every message of FILE and write one verdict (JSON) per line, in input order.

    A message needs message_id, conversation_id, sent_at (with UTC offset), speaker
    (advisor, customer, bot, other) and text. Other columns: see --mapping.

    A line that is no message is reported on standard error with its number and
    counted; the rest goes on. A repeated message_id is reported, counted and judged
    again. After the first 50 of each they are only counted; --report names all.

    Exit code 0: the file was read to its end. 1: the verdicts could not be written.
    2: bad usage, or a file, a setting or a rule pack that cannot be used. 130: Ctrl+C.

    Examples:

      redline scan chats.jsonl > verdicts.jsonl

      redline scan export.csv --mapping our-crm.yaml -o verdicts.jsonl

      tail -f live.jsonl | redline scan -
    """
    settings = load_settings()
    if rules_only:
        settings = settings.model_copy(update={"use_model": False})
    cascade = build_cascade(settings)
    opinions: Counter[OpinionResult] = Counter()
    live = file == STDIN
    source = numbered_records("-" if live else Path(file), kind=kind, mapping=mapping, encoding=encoding)
    last = ScanProgress(0, 0, 0, 0)
    numbers: deque[int] = deque()  # lines of the records that wait for their result

    def lines(update: Callable[[int, str], None], complaints: Complaints) -> Iterator[bytes]:
        nonlocal last

        def on_progress(progress: ScanProgress) -> None:
            nonlocal last
            last = progress
            update(progress.read, f"{progress.flagged} flagged, {progress.undecided} undecided")

        records = _noting_lines(source, numbers)
        for result in scan(
            records, build_pipeline(judge), batch_size=1 if live else FILE_BATCH, on_progress=on_progress
        ):
            line = numbers.popleft()
            if isinstance(result, BadRecord):
                complaints.bad(result)
                continue
            if result.duplicate:
                complaints.repeat(line, result.turn.message)
            yield encode_verdict(result.verdict)

    if output is not None and report_file is not None and output.resolve() == report_file.resolve():
        raise UnwritableTarget(f"{output}: cannot take both the verdicts and the report")
    with ExitStack() as stack:
        judge: Judge = cascade
        if ask_judge:
            judge = stack.enter_context(
                asking_judge(settings, cascade, tally=lambda result: opinions.update([result]))
            )
        target = stack.enter_context(_target(output, file))
        report = stack.enter_context(_writable(report_file, file)) if report_file is not None else None
        complaints = Complaints(report)
        update = stack.enter_context(progress_bar("scanning"))
        try:
            write_lines(lines(update, complaints), target, flush_each=live)
        except KeyboardInterrupt:
            say("stopped; " + _totals(last, complaints.repeated))
            raise
    say(_totals(last, complaints.repeated))
    if ask_judge:
        say(told(opinions))


def _noting_lines(source: Iterator[Numbered], numbers: deque[int]) -> Iterator[Message | BadRecord]:
    for line, content in source:
        numbers.append(line)
        yield content


def _target(output: Path | None, file: str) -> BinaryIO:
    """Where verdicts go."""
    return open(sys.stdout.fileno(), "wb", closefd=False) if output is None else _writable(output, file)


def _writable(output: Path, file: str) -> BinaryIO:
    """Opened before anything is judged; never the file that is read."""
    if file != STDIN and output.exists() and output.samefile(file):
        raise UnwritableTarget(f"{output}: is the file to read; name another to write to")
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
