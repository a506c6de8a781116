"""Business time is wall time: a live deployment."""

from datetime import UTC, datetime, timedelta


class SystemClock:
    """Both times from the machine, which keeps within `max_error` of UTC."""

    def __init__(self, max_error: timedelta = timedelta(milliseconds=100), discipline: str = "ntp") -> None:
        self._source = f"{discipline}:{max_error // timedelta(microseconds=1)}"

    def wall(self) -> datetime:
        """Return the time on the wall."""
        return datetime.now(UTC)

    def business(self) -> datetime:
        """Return the same: the market is live."""
        return datetime.now(UTC)

    def source(self) -> str:
        """Return how the machine's clock is kept and its maximum error in microseconds."""
        return self._source
