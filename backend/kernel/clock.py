"""Time as the platform tells it: aware UTC datetimes and UTC day numbers."""

from datetime import UTC, date, datetime, time, timedelta

EPOCH_DAY = date(1970, 1, 1)
CLOSE_OF_DAY = time(21, 0, tzinfo=UTC)


def epoch_of(moment: datetime | date) -> int:
    """Return the UTC day number (days since 1970-01-01) of a moment."""
    day = moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment
    return (day - EPOCH_DAY).days


def day_of(epoch: int) -> date:
    """Return the calendar day of a UTC day number."""
    return EPOCH_DAY + timedelta(days=epoch)


def close_of(day: date) -> datetime:
    """Return the moment at which a trading day closes (21:00:00 UTC)."""
    return datetime.combine(day, CLOSE_OF_DAY)
