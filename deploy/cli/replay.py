"""`redline replay`: what would other rules or another model have said of what was sent?"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import orjson
import typer
from rich.table import Table

from deploy.candidate import Candidate
from deploy.cli.console import UnwritableTarget, progress_bar, results, say
from deploy.cli.times import WHEN, parse_when
from deploy.clock import utc_now
from deploy.event_store import open_event_store
from deploy.settings import load_settings
from streams.codec import encode_message, encode_verdict
from streams.replay import Change, ReplayResult, replay_conversations, replay_in_parallel
from streams.store.queries import conversations_between


def replay_cli(
    conversations: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONVERSATION]...", help="only these; all of the time without it"),
    ] = None,
    since: Annotated[str, typer.Option("--from", help=f"sent at or after: {WHEN}")] = "7d",
    until: Annotated[str, typer.Option("--to", help="sent before: as --from")] = "0m",
    pack: Annotated[Path | None, typer.Option("--pack", help="the candidate's rule pack folder")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="the candidate's model: a folder, or a version of the store")
    ] = None,
    rules_only: Annotated[
        bool, typer.Option("--rules-only", help="judge without a classifier, and so without the case memory")
    ] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="how many at once; one for each core without it")
    ] = None,
    changes: Annotated[
        Path | None,
        typer.Option(
            "--changes", help="write each changed message with both verdicts (JSON lines) to a file"
        ),
    ] = None,
) -> None:
    """
    Judge stored messages again with another pack or model, and count what would change.

    Compares with the stored verdicts. Nothing is written: no verdict, no case. Without --pack and --model the
    ones in service judge: what differs then was judged by an earlier version, or without its context. Decided
    cases count as they are now, with any model that was made with a space for them.

    Exit code 0: it ran, whatever changed.

    Example: redline replay --from 30d --pack our-pack --changes changes.jsonl
    """
    if rules_only and model is not None:
        raise typer.BadParameter("does not go with --rules-only", param_hint="--model")
    settings, now = load_settings(), utc_now()
    start, end = parse_when(since, now), parse_when(until, now)
    candidate = Candidate(settings, pack=pack, model=model, rules_only=rules_only)
    count = processes or os.cpu_count() or 1
    result = ReplayResult()
    with ExitStack() as stack:
        out = stack.enter_context(_target(changes)) if changes is not None else None
        store = open_event_store(settings)
        stack.callback(store.close)
        source = conversations if conversations else conversations_between(store, start, end)
        update = stack.enter_context(progress_bar("replaying"))

        def parts() -> Iterator[ReplayResult]:
            if count > 1 and not conversations:
                candidate.cascade()  # what does not load is told here, not as a dead process
                yield from replay_in_parallel(candidate, source, start=start, end=end, processes=count)
                return
            bench = candidate()
            stack.callback(bench.store.close)
            for conversation in source:
                yield replay_conversations(bench, [conversation], start=start, end=end)

        for part in parts():
            result.add(part)
            update(result.messages, f"{sum(result.changes.values())} changed")
            if out is not None:
                for change in part.changed:
                    out.write(_line(change) + b"\n")
    _print(result)
    say(
        f"{result.conversations} conversations, {result.messages} messages judged, "
        f"{sum(result.changes.values())} would change"
    )


def _target(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise UnwritableTarget(f"{path}: cannot be written: {error.strerror}") from error


def _print(result: ReplayResult) -> None:
    kinds = Table(box=None, header_style="bold")
    kinds.add_column("change")
    kinds.add_column("messages", justify="right")
    for kind, count in result.changes.most_common():
        kinds.add_row(kind.replace("_", " "), str(count))
    labels = Table(box=None, header_style="bold")
    for column in ("label", "added", "removed"):
        labels.add_column(column, justify="left" if column == "label" else "right")
    for label in sorted(result.added.keys() | result.removed.keys()):
        labels.add_row(label, str(result.added[label]), str(result.removed[label]))
    if result.changes:
        results.print(kinds)
    if labels.row_count:
        results.print(labels)


def _line(change: Change) -> bytes:
    before = None if change.before is None else orjson.loads(encode_verdict(change.before))
    return orjson.dumps(
        {
            "kind": change.kind,
            "message": orjson.loads(encode_message(change.message)),
            "before": before,
            "after": orjson.loads(encode_verdict(change.after)),
        }
    )
