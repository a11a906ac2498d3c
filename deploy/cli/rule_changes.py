"""`redline rules lock|diff|backtest`: what changed in a pack, and what the change would do."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.table import Table

from deploy.cli.console import EXIT_USAGE, UnwritableTarget, complain, progress_bar, results, say
from deploy.settings import Settings, load_settings
from deploy.wiring import load_rules, open_event_store
from detectors.domain import Message, Turn
from rules.diff import PackDiff, diff_packs
from rules.engine import Engine
from rules.loader import load_pack
from rules.lock import update_lock
from rules.schema import Reading
from streams.context import MemoryContext
from streams.identity import MessageKey, message_key
from streams.readers.base import BadRecord
from streams.readers.errors import UnreadableSource
from streams.readers.labelled import read_labelled
from streams.readers.records import read_records

if TYPE_CHECKING:
    from feedback.backtest import Backtest

STORE = "store"
SHOWN_MESSAGES = 20
FIRST_DAY = datetime(1970, 1, 2, tzinfo=UTC)
LAST_DAY = datetime(2100, 1, 1, tzinfo=UTC)


def lock_cli(
    pack: Annotated[
        Path | None, typer.Option("--pack", help="pack folder or name; REDLINE_PACK without it")
    ] = None,
    bump: Annotated[
        bool,
        typer.Option(
            "--bump", help="raise the version of every rule whose content changed under its old one"
        ),
    ] = False,
) -> None:
    """
    Write rules.lock: which content each version of a rule has.

    Refuses content that changed under its old version (--bump raises it), versions that fell, and
    rules that left without their id in retired.txt. Running it again changes nothing.

    Exit code 2 when it refuses.
    """
    changes = update_lock(load_pack(pack or load_settings().pack), bump=bump)
    for words, rules in (
        ("new", changes.added),
        ("changed", changes.changed),
        ("version raised", changes.raised),
        ("retired", changes.retired),
    ):
        for rule in rules:
            results.print(f"{words}  {rule}")
    say(f"{len(changes.added)} new, {len(changes.changed)} changed, {len(changes.retired)} retired")


def diff_cli(
    old: Annotated[Path, typer.Argument(help="pack folder or name of a shipped pack")],
    new: Annotated[Path, typer.Argument(help="pack folder or name of a shipped pack")],
) -> None:
    """
    Show which rules are new, gone or different between two packs, and in what.

    A rule that changed only through a word list it uses is marked so; one whose content changed
    under its old version too.

    Example: redline rules diff cn ./our-pack
    """
    first, second = load_pack(old), load_pack(new)
    diff = diff_packs(first, second)
    results.print(f"{first.hash} → {second.hash}")
    _print_diff(diff)


def _print_diff(diff: PackDiff) -> None:
    if diff.empty:
        results.print("no difference")
    for sign, rules in (("+", diff.added), ("−", diff.removed)):
        for rule in rules:
            results.print(f"{sign} {rule.id} v{rule.version} {rule.status} {rule.label}", soft_wrap=True)
    for change in diff.changed:
        notes = " (through word lists)" if change.through_lists else ""
        notes += " (UNDER THE SAME VERSION)" if change.same_version else ""
        results.print(f"~ {change.rule_id}{notes}: {'; '.join(change.fields)}", soft_wrap=True)
    for name in diff.files:
        results.print(name, soft_wrap=True)


def backtest_cli(
    pack: Annotated[Path, typer.Argument(help="the candidate: pack folder, or name of a shipped pack")],
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="STORE|FILE",
            help="'store' for the event store of the settings, or a file of messages",
        ),
    ],
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="store only: conversations from this day (UTC)"),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="store only: conversations before this day (UTC)"),
    ] = None,
    labelled: Annotated[
        bool, typer.Option("--labelled", help="the file carries labels, which stand for reviewers' decisions")
    ] = False,
    forecasts: Annotated[
        str | None,
        typer.Option(help="read forecasts as standard or strict in the candidate, whatever it says"),
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="how many differing messages to print")] = SHOWN_MESSAGES,
    json_output: Annotated[
        Path | None,
        typer.Option("--json", help="write every figure and every differing message to this file"),
    ] = None,
) -> None:
    """
    Judge the same messages by the rules that run today and by a candidate pack, and show what differs.

    Hits added and removed per rule, the messages to look at, and, where people decided (the desk's
    store, or labels in the file), the precision of both packs. Nothing is stored, no case is touched.

    Exit code 0: compared. 2: a pack does not load, or nothing to read.

    Example: redline rules backtest ./our-pack --on store --since 2026-10-01
    """
    if forecasts not in (None, "standard", "strict"):
        complain(f"--forecasts {forecasts}: give standard or strict")
        raise typer.Exit(EXIT_USAGE)
    if on == STORE and labelled:
        complain("--labelled is for files; the store's decisions are those of the desk")
        raise typer.Exit(EXIT_USAGE)
    if json_output and not json_output.parent.is_dir():
        raise UnwritableTarget(f"{json_output}: cannot be written: {json_output.parent} is no folder")
    from feedback.backtest import backtest  # SQLAlchemy comes with the desk's extra

    settings = load_settings()
    reading: Reading | None = "strict" if forecasts == "strict" else "standard" if forecasts else None
    running, candidate = load_rules(settings), load_pack(pack, reading=reading)
    decisions = {} if labelled else _decisions(settings)
    turns = (
        _stored(settings, since, until) if on == STORE else _from_file(on, decisions if labelled else None)
    )
    with progress_bar("backtest") as update:

        def counted() -> Iterator[Turn]:
            for number, turn in enumerate(turns, start=1):
                update(number, "")
                yield turn

        result = backtest(counted(), Engine(running), Engine(candidate), decisions)
    if not result.messages:
        raise UnreadableSource(on, "has no message of an advisor to judge")
    _print_backtest(result, running.hash, candidate.hash, show)
    if json_output:
        record = {"running": running.hash, "candidate": candidate.hash, **asdict(result)}
        json_output.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2, default=str))


def _decisions(settings: Settings) -> dict[MessageKey, frozenset[str]]:
    """What the desk decided; nothing where there is no desk yet."""
    from feedback.backtest import reviewed
    from feedback.store.desk_store import open_desk_store

    if settings.desk_url is None and not (settings.data_dir / "desk.sqlite").exists():
        return {}
    store = open_desk_store(settings.desk_store_url)
    try:
        return reviewed(store)
    finally:
        store.close()


def _stored(settings: Settings, since: datetime | None, until: datetime | None) -> Iterator[Turn]:
    from streams.store.queries import conversations_between

    start = since.replace(tzinfo=UTC) if since else FIRST_DAY
    end = until.replace(tzinfo=UTC) if until else LAST_DAY
    store = open_event_store(settings)
    try:
        for conversation in conversations_between(store, start, end):
            context = MemoryContext()
            for message in store.conversation(conversation):
                yield context.turn(message)
    finally:
        store.close()


def _from_file(file: str, labels: dict[MessageKey, frozenset[str]] | None) -> Iterator[Turn]:
    """Messages of a file; with `labels`, what the file says of them goes there before each turn."""
    context = MemoryContext()
    path: Any = "-" if file == "-" else Path(file)
    for record in read_records(path) if labels is None else read_labelled(path):
        if isinstance(record, BadRecord):
            complain(str(record))
            continue
        message = record if isinstance(record, Message) else record.message
        if labels is not None and not isinstance(record, Message):
            labels[message_key(message)] = record.labels
        yield context.turn(message)


def _print_backtest(result: "Backtest", running: str, candidate: str, show: int) -> None:
    before, after = result.before, result.after
    results.print(f"{result.messages} messages · running {running} · candidate {candidate}\n")
    table = Table(box=None, header_style="bold")
    for column in ("", "messages flagged", "findings decided", "agreed", "precision"):
        table.add_column(column, justify="left" if not column else "right")
    for name, side in (("running", before), ("candidate", after)):
        precision = "–" if side.precision is None else f"{side.precision:.3f}"
        table.add_row(name, str(side.flagged), str(side.decided), str(side.agreed), precision)
    results.print(table)
    if result.undecided:
        results.print(f"undecided under one of the packs: {result.undecided}")
    rules = result.changed_rules()
    if not rules:
        results.print("\nno hit differs")
        return
    results.print()
    table = Table(box=None, header_style="bold")
    for column in ("rule", "before", "after", "added", "removed", "decided", "agreed"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for rule_id, tally in rules.items():
        numbers = (tally.before, tally.after, tally.added, tally.removed, tally.decided, tally.agreed)
        table.add_row(rule_id, *map(str, numbers))
    results.print(table)
    shown = result.changes[:show]
    results.print(f"\n{len(result.changes)} messages differ{f', the first {len(shown)}' if shown else ''}")
    for change in shown:
        results.print(f"{change.message.conversation_id} {change.message.message_id}", soft_wrap=True)
        results.print(f"    {' '.join(change.message.text.split())}", soft_wrap=True)
        for sign, hits in (("+", change.added), ("−", change.removed)):
            for hit in hits:
                quotes = " ".join(f"「{evidence.text}」" for evidence in hit.evidence)
                verdict = {None: "", True: "  people agreed", False: "  people did not agree"}[hit.agreed]
                results.print(f"    {sign} {hit.rule_id} ({hit.label}) {quotes}{verdict}", soft_wrap=True)
