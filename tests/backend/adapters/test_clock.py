"""The two clocks."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from backend.adapters.clock.replay import ReplayClock
from backend.adapters.clock.system import SystemClock
from backend.kernel.errors import Conflict, Invalid

CLOSE = datetime(2016, 6, 1, 21, 0, tzinfo=UTC)


def test_a_replay_tells_the_replayed_moment_and_the_real_wall_time() -> None:
    clock = ReplayClock(CLOSE)
    assert clock.business() == CLOSE
    assert abs(clock.wall() - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.source() == "replay:0"


def test_a_replay_moves_forward_and_never_back() -> None:
    clock = ReplayClock(CLOSE)
    clock.set(CLOSE)
    clock.set(CLOSE + timedelta(days=1))
    with pytest.raises(Conflict):
        clock.set(CLOSE)
    assert clock.business() == CLOSE + timedelta(days=1)


def test_a_moment_needs_a_zone_and_becomes_utc() -> None:
    clock = ReplayClock(CLOSE)
    clock.set(datetime(2016, 6, 2, 23, 0, tzinfo=timezone(timedelta(hours=2))))
    assert clock.business().tzinfo is UTC
    with pytest.raises(Invalid):
        clock.set(datetime(2016, 6, 3, 21, 0))  # noqa: DTZ001


def test_a_live_clock_names_its_discipline_and_error() -> None:
    clock = SystemClock(timedelta(microseconds=900))
    assert clock.source() == "ntp:900"
    assert abs(clock.business() - clock.wall()) < timedelta(seconds=5)
    assert clock.wall().tzinfo is UTC
