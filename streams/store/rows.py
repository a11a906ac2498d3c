"""What the stores share in turning values into rows."""

from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Exact microseconds since 1970, also for moments before it."""
    return (moment - EPOCH) // MICROSECOND


def moment(value: int) -> datetime:
    """The inverse of `microseconds`, in UTC."""
    return EPOCH + value * MICROSECOND


def first_day(value: date) -> date:
    """The first day of a date's month."""
    return date(value.year, value.month, 1)


def month_bounds(month: date) -> tuple[int, int]:
    """The first microsecond of a month in UTC, and the first after it."""
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    following = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
    return microseconds(start), microseconds(following)
