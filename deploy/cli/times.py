"""Points in time as people write them on a command line."""

import re
from datetime import datetime, timedelta

import typer

_AGO = re.compile(r"([0-9]{1,6})(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
WHEN = "a time with its UTC offset (2026-03-02T09:30:00+08:00), or how long ago (90m, 12h, 7d)"


def parse_when(text: str, now: datetime) -> datetime:
    """The moment meant. Raises typer.BadParameter for a time without an offset: guessing would be wrong."""
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return now - timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: write {WHEN}") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no UTC offset: write {text.strip()}+08:00")
    return moment
