"""What every command shares: where text goes, how errors end."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rules.errors import RedlineError

EXIT_FAILED = 1
EXIT_USAGE = 2

# Results go to standard output; everything for people to standard error.
# Text of customers is printed as it is: no markup, no emoji codes. A pipe has no width to wrap at.
WIDTH_OF_PIPE = 260
people = Console(stderr=True, highlight=False, markup=False, emoji=False)
results = Console(
    highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else WIDTH_OF_PIPE
)


class UnwritableTarget(RedlineError):
    """A file that was named for the output cannot be written."""


def say(text: str) -> None:
    """A line for people."""
    people.print(text, markup=False, soft_wrap=True)


def complain(text: str) -> None:
    """An error for people."""
    people.print(
        f"redline: {text}", markup=False, style="red" if people.is_terminal else None, soft_wrap=True
    )


@contextmanager
def progress_bar(
    title: str, *, total: int | None = None, wanted: bool = True
) -> Iterator[Callable[[int, str], None]]:
    """
    A progress bar on standard error; gives `update(done, note)`.

    Where nobody watches (no terminal), nothing is drawn; work whose length is known
    leaves a line for the log at every tenth.
    """
    if not wanted or not people.is_terminal:
        yield _log_tenths(title, total if wanted else None)
        return
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    ]
    if total:
        columns.append(TimeRemainingColumn())
    with Progress(*columns, console=people, transient=True) as bar:
        task = bar.add_task(title, total=total, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)


def _log_tenths(title: str, total: int | None) -> Callable[[int, str], None]:
    told = 0

    def update(done: int, note: str) -> None:
        nonlocal told
        tenth = 10 * done // total if total else 0
        if tenth > told:
            told = tenth
            say(f"{title}: {tenth * 10} % {note.lstrip('% ')}")

    return update


def write_lines(lines: Iterator[bytes], out: BinaryIO, *, flush_each: bool) -> None:
    """A line each. Raises OSError when the target is full or its reader went away."""
    for line in lines:
        out.write(line + b"\n")
        if flush_each:
            out.flush()
    out.flush()
