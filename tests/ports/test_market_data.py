"""Every market data adapter answers exactly, from the past alone, and refuses what it does not know."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.adapters.market_data.replay import SHIPPED_PANEL, ReplayMarketData
from backend.kernel.errors import Invalid, NotFound, Unavailable
from backend.ports.market_data import MarketData

UNIVERSE = ("AAPL", "AMZN", "CAT", "CMCSA", "CSCO", "DIS", "HD", "JNJ", "KO", "MSFT", "ORCL", "PFE", "SLB", "T", "VZ",
            "WMT")  # fmt: skip


@pytest.fixture(scope="module", params=[ReplayMarketData], ids=["replay"])
def market(request: pytest.FixtureRequest) -> MarketData:
    adapter: MarketData = request.param()
    return adapter


def test_the_universe_is_the_sixteen_names_in_order(market: MarketData) -> None:
    assert market.universe() == UNIVERSE


def test_days_rise_and_match_the_source(market: MarketData) -> None:
    days = market.days()
    assert list(days) == sorted(set(days))
    assert (days[0], days[-1]) == (market.source().first, market.source().last) == (date(2012, 9, 4), date(2017, 9, 1))


def test_a_bar_has_recorded_prices_with_four_decimals(market: MarketData) -> None:
    bar = market.bar("AAPL", date(2016, 8, 1))
    assert (bar.open, bar.high, bar.close) == (Decimal("104.4100"), Decimal("106.1500"), Decimal("106.0500"))
    assert bar.volume == 38_167_900
    assert bar.close.as_tuple().exponent == -4


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 1257), length=st.integers(1, 200))
def test_history_ends_with_the_day_asked_for_and_agrees_with_the_bars(
    market: MarketData, place: int, length: int
) -> None:
    day = market.days()[place]
    if length > place + 1:
        with pytest.raises(Invalid, match=f"1 to {place + 1}"):
            market.history(day, length)
        return
    panel = market.history(day, length)
    assert panel.days == market.days()[place + 1 - length : place + 1]
    assert panel.close.shape == (16, length)
    assert [Decimal(str(value)) for value in panel.close[:, -1]] == [market.bar(name, day).close for name in UNIVERSE]


def test_history_cannot_be_written_to(market: MarketData) -> None:
    with pytest.raises(ValueError, match="read-only"):
        market.history(date(2016, 8, 1), 5).close[0, 0] = 1.0


def test_a_history_of_no_days_is_refused(market: MarketData) -> None:
    with pytest.raises(Invalid):
        market.history(date(2016, 8, 1), 0)


def test_an_unknown_instrument_is_refused_with_the_known_ones(market: MarketData) -> None:
    with pytest.raises(NotFound, match="AAPL, AMZN"):
        market.bar("GME", date(2016, 8, 1))


@pytest.mark.parametrize("day", [date(2016, 7, 31), date(2012, 9, 3), date(2017, 9, 2)])
def test_a_day_without_trading_is_refused_with_the_range(market: MarketData, day: date) -> None:
    with pytest.raises(NotFound, match="2012-09-04 to 2017-09-01"):
        market.bar("AAPL", day)
    with pytest.raises(NotFound):
        market.history(day, 1)


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        ReplayMarketData(tmp_path / "none.parquet")


@pytest.mark.parametrize("fault", ["gap", "twice", "empty"])
def test_a_panel_with_a_gap_is_unavailable(tmp_path: Path, fault: str) -> None:
    frame = pl.read_parquet(SHIPPED_PANEL)
    changed = {"gap": frame[1:], "twice": pl.concat([frame[1:], frame[-1:]]), "empty": frame[:0]}[fault]
    changed.write_parquet(tmp_path / "panel.parquet")
    with pytest.raises(Unavailable, match="lacks bars"):
        ReplayMarketData(tmp_path / "panel.parquet")


def test_adjusted_closes_hold_dividends_and_no_splits(market: MarketData) -> None:
    panel = market.history(market.days()[-1], len(market.days()))
    # A dividend lowers all adjusted closes before it: the two series meet on the last day and never cross.
    held = panel.close / panel.adjusted
    assert (np.abs(held[:, -1] - 1) < 0.02).all()
    assert (held > 1 - 1e-5).all()
    assert (np.abs(np.diff(held, axis=1)) < 0.05).all()


def test_recorded_bars_are_consistent(market: MarketData) -> None:
    panel = market.history(market.days()[-1], len(market.days()))
    assert (panel.high >= np.maximum(panel.open, panel.close)).all()
    assert (panel.low <= np.minimum(panel.open, panel.close)).all()
    assert (panel.low > 0).all()
    assert (panel.volume > 0).all()
    assert all(later - earlier <= timedelta(days=5) for earlier, later in zip(panel.days, panel.days[1:], strict=False))
