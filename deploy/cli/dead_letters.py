"""`redline dlq`: what could not be judged, why, and what to do about it."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, get_args

import orjson
import typer
from rich.table import Table

from deploy.cli.console import EXIT_FAILED, complain, people, results, say
from deploy.cli.lazy import FullHelpGroup
from deploy.cli.times import WHEN, parse_when
from deploy.clock import utc_now
from deploy.settings import load_settings
from streams.dead_letter_events import LetterState, Status
from streams.origin import Origin

if TYPE_CHECKING:  # needs the streams extra; --help does not
    from streams.dead_letter_queue import DeadLetterQueue, LetterFilter

dlq_app = typer.Typer(
    cls=FullHelpGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help=(
        "List, show, replay and drop dead letters: records that could not be judged.\n\n"
        "A record is named TOPIC:PARTITION:OFFSET, or PARTITION:OFFSET of advisor.messages. Nothing is "
        "taken out of the topic advisor.messages.dlq: who replays or drops a letter adds a note, with name "
        "and reason. The broker is REDLINE_KAFKA; needs the streams extra."
    ),
)

OriginsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[RECORD]...", help="which records; all that the options take")
]
ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", help="only these reasons, e.g. bad_json; may be repeated")
]
StackOption = Annotated[
    list[str] | None, typer.Option("--stack", help="only failures at this place in the code (stack digest)")
]
PartitionOption = Annotated[list[int] | None, typer.Option("--partition", help="only these partitions")]
SinceOption = Annotated[str | None, typer.Option("--since", help=f"failed at or after: {WHEN}")]
UntilOption = Annotated[str | None, typer.Option("--until", help="failed before: as --since")]
ActorOption = Annotated[str, typer.Option("--actor", metavar="NAME", help="who does it, for the note")]
AllOption = Annotated[
    bool, typer.Option("--all", help="every open letter, when no record and no option narrows them")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="say what would be done, do nothing")]


@dlq_app.command("list")
def list_cli(
    reason: ReasonOption = None,
    stack: StackOption = None,
    partition: PartitionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    status: Annotated[str, typer.Option("--status", help="open, replayed, dropped or all")] = "open",
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="show at most so many; counts are of all")
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="a JSON object per line, without a limit")] = False,
) -> None:
    """
    Count the dead letters by reason, and list them, the latest first.

    Example: redline dlq list --reason pipeline_error --since 12h
    """
    queue = _queue()
    wanted = _filter(None, reason, stack, partition, since, until, _statuses(status))
    found = sorted(queue.chosen(wanted), key=lambda state: (state.letter.at, state.origin), reverse=True)
    if as_json:
        for state in found:
            typer.echo(_line(state))
    else:
        _print_counts(found)
        _print_letters(found[:limit])
        say(f"{len(found)} dead letters" + (f", {limit} shown" if len(found) > limit else ""))
    _tell_unreadable(queue)


@dlq_app.command("show")
def show_cli(
    record: Annotated[str, typer.Argument(help="TOPIC:PARTITION:OFFSET or PARTITION:OFFSET")],
    raw: Annotated[
        bool, typer.Option("--raw", help="write the record's bytes to standard output, nothing else")
    ] = False,
) -> None:
    """
    Print one letter as JSON with what became of it, and the record's beginning.

    The record may hold what a customer wrote. Exit code 1: there is no such letter.
    """
    queue, origin = _queue(), _origin(record)
    letter = next(queue.letters([origin]), None)
    if letter is None:
        complain(f"{origin}: no such dead letter; see 'redline dlq list --status all'")
        raise typer.Exit(EXIT_FAILED)
    if raw:
        sys.stdout.buffer.write(letter.original or b"")
        sys.stdout.buffer.flush()
        return
    typer.echo(_line(queue.states()[origin]))
    typer.echo((letter.original or b"").decode("utf-8", "replace"))


@dlq_app.command("replay")
def replay_cli(
    records: OriginsArgument = None,
    reason: ReasonOption = None,
    stack: StackOption = None,
    partition: PartitionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: AllOption = False,
    why: Annotated[str, typer.Option("--why", help="what was repaired, for the note")] = "",
    actor: ActorOption = "operator",
    dry_run: DryRunOption = False,
) -> None:
    """
    Send the records of open letters again, to the topic and under the key they had.

    Running it twice is safe: what was replayed or dropped is left out, and a record that is
    judged twice has one verdict. A record that fails again becomes a new letter. Records that were
    too large to be kept whole, and tombstones, cannot be replayed and are listed.

    Exit code 0: all were sent. 1: some were refused or cannot be replayed.

    Example: redline dlq replay --reason pipeline_error --why "rule 17 repaired" --actor li.na
    """
    queue = _queue()
    chosen = _open(queue, records, reason, stack, partition, since, until, everything)
    if dry_run:
        _print_letters(chosen)
        say(f"{len(chosen)} dead letters would be replayed")
        return
    report = queue.replay([state.origin for state in chosen], actor=actor, why=why)
    for origin in report.incomplete:
        complain(
            f"{origin}: its bytes are not in the letter; it cannot be replayed. Drop it, or send it anew"
        )
    for origin, error in report.refused.items():
        complain(f"{origin}: the broker refused it: {error}")
    say(f"{report.replayed} of {len(chosen)} replayed")
    if report.incomplete or report.refused:
        raise typer.Exit(EXIT_FAILED)


@dlq_app.command("drop")
def drop_cli(
    why: Annotated[str, typer.Option("--why", help="why nobody needs to judge them; kept for good")],
    records: OriginsArgument = None,
    reason: ReasonOption = None,
    stack: StackOption = None,
    partition: PartitionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: AllOption = False,
    actor: ActorOption = "operator",
    dry_run: DryRunOption = False,
) -> None:
    """
    Note that open letters need not be judged. Who and why is kept; the letters stay in the topic.

    Example: redline dlq drop 3:41 --why "a load test sent it" --actor li.na
    """
    if not why.strip():
        raise typer.BadParameter("say why: it is kept with the letter", param_hint="--why")
    queue = _queue()
    chosen = _open(queue, records, reason, stack, partition, since, until, everything)
    if dry_run:
        _print_letters(chosen)
        say(f"{len(chosen)} dead letters would be dropped")
        return
    say(f"{queue.drop([state.origin for state in chosen], actor=actor, why=why)} dropped")


def _queue() -> "DeadLetterQueue":
    from streams.dead_letter_queue import DeadLetterQueue

    return DeadLetterQueue(load_settings().broker, clock=utc_now)


def _filter(
    records: Sequence[str] | None,
    reason: Sequence[str] | None,
    stack: Sequence[str] | None,
    partition: Sequence[int] | None,
    since: str | None,
    until: str | None,
    statuses: frozenset[Status],
) -> "LetterFilter":
    from streams.dead_letter_queue import LetterFilter

    now = utc_now()
    return LetterFilter(
        origins=frozenset(map(_origin, records or ())),
        reasons=frozenset(reason or ()),
        stack_digests=frozenset(stack or ()),
        partitions=frozenset(partition or ()),
        statuses=statuses,
        since=parse_when(since, now) if since else None,
        until=parse_when(until, now) if until else None,
    )


def _open(
    queue: "DeadLetterQueue",
    records: Sequence[str] | None,
    reason: Sequence[str] | None,
    stack: Sequence[str] | None,
    partition: Sequence[int] | None,
    since: str | None,
    until: str | None,
    everything: bool,
) -> list[LetterState]:
    """The open letters that are meant; says which of the named records are none."""
    if not (everything or records or reason or stack or partition or since or until):
        raise typer.BadParameter("name records, narrow them by an option, or say --all")
    wanted = _filter(records, reason, stack, partition, since, until, frozenset({"open"}))
    chosen = queue.chosen(wanted)
    for origin in sorted(wanted.origins - {state.origin for state in chosen}):
        complain(f"{origin}: no open dead letter")
    _tell_unreadable(queue)
    return chosen


def _origin(text: str) -> Origin:
    from streams.topics import MESSAGES

    try:
        return Origin.parse(text, topic=MESSAGES)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _statuses(text: str) -> frozenset[Status]:
    known: dict[str, Status] = {status: status for status in get_args(Status)}
    if text == "all":
        return frozenset()
    if text not in known:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(known)}, all", param_hint="--status")
    return frozenset({known[text]})


def _print_counts(states: Sequence[LetterState]) -> None:
    counts = Counter((s.letter.reason, s.letter.stack_digest, s.status) for s in states)
    table = Table(box=None, header_style="bold")
    for column in ("letters", "reason", "stack", "status"):
        table.add_column(column, justify="right" if column == "letters" else "left")
    for (reason, digest, status), count in counts.most_common():
        table.add_row(str(count), reason, digest, status)
    if counts:
        people.print(table)


def _print_letters(states: Sequence[LetterState]) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("record", "failed", "reason", "detail", "bytes", "status", "by", "why"):
        table.add_column(column, justify="right" if column == "bytes" else "left", overflow="fold")
    for state in states:
        letter, done = state.letter, state.resolved
        table.add_row(
            str(letter.origin),
            f"{letter.at:%Y-%m-%d %H:%M:%S%z}",
            letter.reason,
            letter.detail,
            str(letter.size),
            state.status,
            done.actor if done else "",
            done.why if done else "",
        )
    if states:
        results.print(table)


def _line(state: LetterState) -> str:
    letter, done = state.letter, state.resolved
    record: dict[str, object] = {
        "record": str(letter.origin),
        "status": state.status,
        "failed_at": letter.at.isoformat(),
        "letters": state.letters,
        "reason": letter.reason,
        "detail": letter.detail,
        "stack_digest": letter.stack_digest,
        "size": letter.size,
        "sha256": letter.sha256,
        "complete": letter.complete,
    }
    if done is not None:
        record |= {"by": done.actor, "why": done.why, "at": done.at.isoformat()}
    return orjson.dumps(record).decode()


def _tell_unreadable(queue: "DeadLetterQueue") -> None:
    if queue.unreadable:
        complain(f"{queue.unreadable} records of the dead-letter topic are no dead letters of redline")
