"""The two clocks: wall time for sessions and limits, business time for the market."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells both times; aware UTC datetimes."""

    def wall(self) -> datetime:
        """Return the time on the wall: sign-in, tokens, nonces, rate limits."""
        ...

    def business(self) -> datetime:
        """Return the market's time: caps, epochs, credentials; replayed days in a replay."""
        ...

    def source(self) -> str:
        """Return what the business clock follows and its maximum error in microseconds, e.g. "replay:0"."""
        ...
