"""Business time follows replayed days; wall time stays real."""

from datetime import UTC, datetime

from backend.kernel.errors import Conflict, Invalid


class ReplayClock:
    """Tells the replayed moment, which only moves forward."""

    def __init__(self, start: datetime) -> None:
        self._moment = _utc(start)

    def wall(self) -> datetime:
        """Return the time on the wall."""
        return datetime.now(UTC)

    def business(self) -> datetime:
        """Return the replayed moment."""
        return self._moment

    def source(self) -> str:
        """Return that a replay is followed, without error."""
        return "replay:0"

    def set(self, moment: datetime) -> None:
        """Move to a moment; raise Conflict when it lies behind."""
        moment = _utc(moment)
        if moment < self._moment:
            raise Conflict(f"the replay stands at {self._moment.isoformat()} and does not go back")
        self._moment = moment


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise Invalid("a moment without a time zone")
    return moment.astimezone(UTC)
