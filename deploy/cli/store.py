"""`redline store`: how much is kept, for how long, and how sensitive it is."""

from datetime import date
from typing import Annotated

import orjson
import typer
from rich.table import Table

from deploy.cli.console import results, say
from deploy.cli.lazy import FullHelpGroup
from deploy.clock import utc_now
from deploy.event_store import open_event_store
from deploy.settings import load_settings
from streams.store.sensitivity import COLUMNS, MEANINGS

store_app = typer.Typer(
    cls=FullHelpGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help=(
        "Look after the event store: REDLINE_CLICKHOUSE, or the SQLite file in REDLINE_DATA_DIR.\n\n"
        "The desk store with its decisions and audit trail is another; nothing here touches it."
    ),
)


@store_app.command("counts")
def counts_cli() -> None:
    """Print how much is kept, as JSON: messages, verdicts, open dead letters, and which months."""
    store = open_event_store(load_settings())
    try:
        counts, months = store.counts(), store.months()
    finally:
        store.close()
    typer.echo(
        orjson.dumps(
            {
                "messages": counts.messages,
                "verdicts": counts.verdicts,
                "flagged": counts.flagged,
                "undecided": counts.undecided,
                "open_dead_letters": counts.dead_letters,
                "months": [f"{month:%Y-%m}" for month in months],
            }
        ).decode()
    )


@store_app.command("fields")
def fields_cli() -> None:
    """
    Print every stored column with its sensitivity, tab-separated, for access rights and exports.

    words: what was said. personal: leads to a person. internal: the firm's own. technical: neither.
    """
    for table, columns in COLUMNS.items():
        for column, sensitivity in columns.items():
            typer.echo(f"{table}\t{column}\t{sensitivity}")
    for sensitivity, meaning in MEANINGS.items():
        say(f"{sensitivity}: {meaning}")


@store_app.command("retain")
def retain_cli(
    months: Annotated[
        int, typer.Option("--months", min=1, help="keep the current month and so many whole months before it")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be dropped, drop nothing")
    ] = False,
) -> None:
    """
    Drop the messages and verdicts of older months, whole months at a time.

    By the month sent (messages) and judged (verdicts), in UTC. Decisions, the ledger and notes on dead letters
    stay. Run it from a schedule; run again it changes nothing. What is dropped cannot be brought back.

    Example: redline store retain --months 60 --dry-run
    """
    store = open_event_store(load_settings())
    try:
        kept_from = _months_before(utc_now().date(), months)
        old = [month for month in store.months() if month < kept_from]
        table = Table(box=None, header_style="bold")
        table.add_column("month")
        for month in old:
            table.add_row(f"{month:%Y-%m}")
            if not dry_run:
                store.drop_month(month)
        if old:
            results.print(table)
    finally:
        store.close()
    say(f"{len(old)} months before {kept_from:%Y-%m} {'would be' if dry_run else 'were'} dropped")


def _months_before(day: date, months: int) -> date:
    """The first day of the month that lies so many months before a day's."""
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)
