"""
`make bench`: throughput and memory, as ratios of one run. Asserts nothing about time.

    python -m tests.benchmarks [--quick] [--chats FILE …]

With --chats, scan and the encoders are also measured on real chats among which one message in a hundred crosses a line.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from detectors.domain import Speaker
from detectors.model_store import builtin_model_path
from tests.benchmarks.matching import by_number_of_rules, ways_to_match
from tests.benchmarks.memory import PeakMemory, peak_of_scan
from tests.benchmarks.messages import add_chats_option, first_messages
from tests.benchmarks.throughput import Throughput, baseline, encoding, normalisation, scanning

THROUGHPUT_MESSAGES = 8_000
QUICK_MESSAGES = 2_000
MATCHING_MESSAGES = 10_000
WAYS_TO_MATCH = 10
ENCODER_BATCHES = {1: "one at a time", 32: "32 at a time"}
SIZES = (10_000, 100_000, 1_000_000)
MEBI = 1 << 20

people = Console(stderr=True)
results = Console(width=None if sys.stdout.isatty() else 140)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer messages, memory up to 100,000 only")
    parser.add_argument("--no-memory", action="store_true", help="throughput only")
    parser.add_argument(
        "--rules", action="store_true", help="only the rule engine beside other matchers, and by rules"
    )
    add_chats_option(parser, "scan and the encoders also")
    chosen = parser.parse_args(arguments)
    if chosen.rules:
        _print_matching(*_matching(QUICK_MESSAGES if chosen.quick else MATCHING_MESSAGES))
        return
    speeds = _throughput(QUICK_MESSAGES if chosen.quick else THROUGHPUT_MESSAGES, chosen.chats)
    peaks = [] if chosen.no_memory else _memory(SIZES[:2] if chosen.quick else SIZES)
    _print(speeds, peaks)
    _print_matching(*_matching(QUICK_MESSAGES if chosen.quick else MATCHING_MESSAGES))


def _throughput(number: int, chats: Sequence[Path]) -> list[Throughput]:
    messages = first_messages(number)
    with _progress() as progress:
        task = progress.add_task("baseline and normalisation", total=number)
        speeds = [baseline(messages), normalisation(messages)]
        progress.update(task, completed=number)
        models = [False, True] if (builtin_model_path() / "manifest.json").is_file() else [False]
        runs = [("", messages, model) for model in models]
        if chats:
            runs.append((" on real chats", first_messages(number, chats), models[-1]))
        for where, chosen, model in runs:
            title = f"scan, {'rules and model' if model else 'rules only'}{where}"
            task = progress.add_task(title, total=number)
            speed = scanning(
                title,
                chosen,
                model=model,
                on_progress=lambda done, task=task: progress.update(task, completed=done),  # type: ignore[misc]
            )
            speeds.append(speed)
            progress.update(task, completed=number)
        if models[-1]:
            alone = [("", messages, True)]
            if chats:
                alone.append((" on real chats, all of them", first_messages(number, chats), False))
            for where, chosen, first_stage in alone:
                for batch, how in ENCODER_BATCHES.items():
                    title = f"encoders alone, {how}{where}"
                    task = progress.add_task(title, total=number)
                    speeds.append(encoding(title, chosen, batch=batch, first_stage=first_stage))
                    progress.update(task, completed=number)
    return speeds


def _matching(number: int) -> tuple[list[Throughput], list[Throughput]]:
    messages = [message for message in first_messages(3 * number) if message.speaker is not Speaker.CUSTOMER][
        :number
    ]
    with _progress() as progress:
        task = progress.add_task("matching", total=WAYS_TO_MATCH)
        found: tuple[list[Throughput], list[Throughput]] = ([], [])
        for speeds, measured in zip(
            found, (ways_to_match(messages), by_number_of_rules(messages)), strict=True
        ):
            for speed in measured:
                speeds.append(speed)
                progress.advance(task)
        return found


def _print_matching(ways: Sequence[Throughput], by_rules: Sequence[Throughput]) -> None:
    for title, speeds, first in (
        ("messages of the firm's side, one core", ways, "x the naive loop"),
        ("the same, by number of rules", by_rules, "x the cost of 100"),
    ):
        table = Table(box=None, header_style="bold", title_justify="left", title=title)
        for column in ("", "per second and core", first, ""):
            table.add_column(column, justify="left" if not column else "right")
        for speed in speeds:
            ratio = (
                speed.per_second / speeds[0].per_second
                if speeds is ways
                else speeds[0].per_second / speed.per_second
            )
            table.add_row(speed.name, f"{speed.per_second:,.0f}", f"{ratio:,.1f}", speed.note)
        results.print(table)


def _memory(sizes: Sequence[int]) -> list[PeakMemory]:
    peaks = []
    with _progress() as progress, tempfile.TemporaryDirectory(prefix="redline-bench-") as folder:
        for size in sizes:
            task = progress.add_task("", total=size)

            def on_progress(what: str, done: int, task: object = task) -> None:
                progress.update(task, description=f"memory: {what}", completed=done)  # type: ignore[arg-type]

            peaks.append(peak_of_scan(size, Path(folder), on_progress))
            progress.update(task, completed=size)
    return peaks


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(),
        TextColumn("{task.completed:>9,.0f} of {task.total:>9,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=people) as progress:
        yield progress


def _print(speeds: Sequence[Throughput], peaks: Sequence[PeakMemory]) -> None:
    table = Table(box=None, header_style="bold", title_justify="left", title=_machine())
    for column in ("", "messages", "per second and core", "time of baseline", "peak memory", ""):
        table.add_column(column, justify="left" if not column else "right")
    first = speeds[0].per_second
    for speed in speeds:
        ratio = f"x {first / speed.per_second:.1f}"
        table.add_row(speed.name, f"{speed.messages:,}", f"{speed.per_second:,.0f}", ratio, "", speed.note)
    for peak in peaks:
        size = f"{peak.peak_bytes / MEBI:,.0f} MiB"
        growth = f"x {peak.peak_bytes / peaks[0].peak_bytes:.2f} of the first, {peak.wall_s:,.0f} s in all"
        table.add_row("redline scan --rules-only", f"{peak.messages:,}", "", "", size, growth)
    results.print(table)
    if peaks:
        results.print(
            "memory is that of a scorer: without torch, which spaCy would load where training is installed"
        )
    if len(speeds) < 4:
        results.print("no model is shipped yet: rules only")


def _machine() -> str:
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
