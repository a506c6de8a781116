"""The shipped panel as the agents take it, and what tests make of it."""

from datetime import date

import pytest

from agents.features import Bars
from backend.adapters.market_data.replay import ReplayMarketData


@pytest.fixture(scope="session")
def panel_days() -> tuple[date, ...]:
    """Return the shipped panel's days."""
    return ReplayMarketData().days()


@pytest.fixture(scope="session")
def bars(panel_days: tuple[date, ...]) -> Bars:
    """Return the shipped panel's bars."""
    panel = ReplayMarketData().history(panel_days[-1], len(panel_days))
    return Bars(panel.open, panel.high, panel.low, panel.close, panel.volume)
