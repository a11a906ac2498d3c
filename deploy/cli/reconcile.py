"""`redline reconcile`: is every message accounted for?"""

from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.table import Table

from deploy.cli.console import complain, results, say
from deploy.cli.times import WHEN, parse_when
from deploy.clock import utc_now
from deploy.event_store import open_event_store
from deploy.settings import load_settings

if TYPE_CHECKING:  # needs the streams extra; --help does not
    from streams.reconcile import Balance, HourBalance

EXIT_GAPS = 3


def reconcile_cli(
    since: Annotated[str, typer.Option("--from", help=f"produced at or after: {WHEN}")] = "24h",
    until: Annotated[str, typer.Option("--to", help="produced before: as --from")] = "0m",
    with_store: Annotated[
        bool, typer.Option("--store/--no-store", help="ask the event store as well")
    ] = True,
    limit: Annotated[int, typer.Option("--limit", min=0, help="name at most so many gaps")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object with every gap")] = False,
) -> None:
    """
    Prove that nothing is lost: per hour and partition, produced = judged + dead-lettered = stored.

    Reads advisor.messages, the verdicts and the dead letters from REDLINE_KAFKA, and asks the event store
    (REDLINE_CLICKHOUSE, or the SQLite file) for each. Records of the last minute are in flight. Every gap
    is named by TOPIC:PARTITION:OFFSET. "Not read yet" is a gap that closes by itself: the worker is behind.
    "Deleted before it was judged" are messages of any time that retention took before the worker came to
    them; "deleted before it was stored" are records of any topic that it took before the sink came to them.
    Both are shown until worker or sink goes on, which logs and counts it. This user must be allowed to see
    the groups redline-worker and, with a store, redline-sink (DESCRIBE): the verdict says where it is not.
    Needs the streams extra.

    Exit code 0: all is accounted for. 3: there are gaps. 1: it could not be checked.

    Example: redline reconcile --from 2026-03-02T00:00:00+08:00 --to 2026-03-03T00:00:00+08:00
    """
    from streams.reconcile import reconcile

    settings, now = load_settings(), utc_now()
    store = open_event_store(settings) if with_store else None
    try:
        balance = reconcile(
            settings.broker, store, start=parse_when(since, now), end=parse_when(until, now), now=now
        )
    finally:
        if store is not None:
            store.close()
    if as_json:
        typer.echo(_json(balance))
    else:
        _print(balance)
        for gap in balance.gaps[:limit]:
            complain(f"{gap.origin} of {gap.at:%Y-%m-%d %H:%M:%S%z}: {gap.kind}")
        if len(balance.gaps) > limit:
            complain(f"{len(balance.gaps) - limit} more gaps: see --json")
    for lost in balance.deleted:
        complain(
            f"{lost.topic}:{lost.partition}:{lost.start} to {lost.end - 1}: deleted before it was judged "
            "(the worker stood still for longer than the topic's retention)"
        )
    for lost in balance.deleted_unstored:
        complain(
            f"{lost.topic}:{lost.partition}:{lost.start} to {lost.end - 1}: deleted before it was stored "
            "(the sink stood still for longer than the topic's retention)"
        )
    for partition in balance.cut:
        say(f"partition {partition}: the broker holds nothing older; what came before cannot be checked")
    say(_verdict(balance))
    if not balance.balanced:
        raise typer.Exit(EXIT_GAPS)


def _print(balance: "Balance") -> None:
    table = Table(box=None, header_style="bold")
    columns = ("produced", "judged", "dead letters", "open", "in flight", "stored", "gaps")
    table.add_column("hour (UTC)")
    for column in ("partition", *columns):
        table.add_column(column, justify="right")
    for (hour, partition), count in sorted(balance.hours.items()):
        table.add_row(f"{hour:%Y-%m-%d %H}", str(partition), *map(str, _numbers(count)))
    table.add_row("all", "", *map(str, _numbers(balance.total())))
    results.print(table)


def _numbers(count: "HourBalance") -> tuple[int, ...]:
    found = (count.produced, count.judged, count.dead, count.open_letters, count.in_flight)
    return (*found, count.stored, count.gaps)


def _verdict(balance: "Balance") -> str:
    total = balance.total()
    unseen = "".join(
        f"; not checked: what was deleted before the group {group} came to it, "
        "for this user may not see the group (grant DESCRIBE on it)"
        for group in balance.unseen
    )
    if balance.balanced:
        return f"all {total.produced} records are accounted for, {total.in_flight} of them in flight{unseen}"
    deleted = sum(lost.end - lost.start for lost in balance.deleted)
    gone = f"; {deleted} offsets were deleted before anybody judged them" if deleted else ""
    unstored = sum(lost.end - lost.start for lost in balance.deleted_unstored)
    gone += f"; {unstored} offsets were deleted before the sink stored them" if unstored else ""
    waiting = sum(gap.kind == "not read yet" for gap in balance.gaps)
    still = f"; {waiting} of these wait for the worker, which has not come so far" if waiting else ""
    return f"{total.gaps} of {total.produced} records are not accounted for{still}{gone}{unseen}"


def _json(balance: "Balance") -> str:
    names = ("produced", "judged", "dead", "open_letters", "in_flight", "stored", "gaps")
    return orjson.dumps(
        {
            "balanced": balance.balanced,
            "hours": [
                {
                    "hour": hour.isoformat(),
                    "partition": partition,
                    **dict(zip(names, _numbers(count), strict=True)),
                }
                for (hour, partition), count in sorted(balance.hours.items())
            ],
            "gaps": [
                {"kind": gap.kind, "record": str(gap.origin), "at": gap.at.isoformat()}
                for gap in balance.gaps
            ],
            "offsets": [
                {"partition": s.partition, "start": s.start, "end": s.end} for s in balance.stretches
            ],
            "cut": balance.cut,
            "deleted": [
                {"partition": lost.partition, "start": lost.start, "end": lost.end}
                for lost in balance.deleted
            ],
            "deleted_unstored": [
                {"topic": lost.topic, "partition": lost.partition, "start": lost.start, "end": lost.end}
                for lost in balance.deleted_unstored
            ],
            "unseen_groups": balance.unseen,
        }
    ).decode()
