"""The time. Apart from `wiring`, so that commands which judge nothing start without loading what judges."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The clock of everything that is not given another."""
    return datetime.now(UTC)
