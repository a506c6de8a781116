"""Market maths: the trading days that there must be, clean data, and exact integer returns."""

from backend.market.engine.calendar import missing_days, trading_holidays
from backend.market.engine.clean import check_panel
from backend.market.engine.returns import closing_prices, daily_return, next_day, returns_window

__all__ = [
    "check_panel",
    "closing_prices",
    "daily_return",
    "missing_days",
    "next_day",
    "returns_window",
    "trading_holidays",
]
