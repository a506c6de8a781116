"""An account's VaR by several methods, from what it holds now."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from backend.accounts.service import Accounts
from backend.execution.service import ExecutionService
from backend.kernel.canonical import decimal_string
from backend.kernel.clock import close_of
from backend.kernel.errors import Invalid
from backend.kernel.fixed import PNL_DECIMALS, PRICE_DECIMALS, to_units
from backend.market.engine import returns_window
from backend.market.service import MarketService
from backend.risk.engine.var import (
    OutsideDomain,
    cornish_fisher_var,
    expected_shortfall_units,
    gaussian_var,
    historical_var_units,
    moments,
    pnl_units,
    usd,
)

METHODS = ("historical", "cornish-fisher", "gaussian")
WINDOWS = {"0.95": 90, "0.99": 250}


async def account_var(platform: Any, address: str, method: str, confidence: str) -> dict[str, Any]:
    """Return the one-day VaR in USD at the last close, and what it was made from.

    "value" is None where the method says nothing, and "reason" says why.
    """
    if confidence not in WINDOWS:
        raise Invalid(f"confidence is one of {', '.join(WINDOWS)}, not {confidence}")
    market: MarketService = platform.service(MarketService)
    async with platform.database.reading() as session:
        holder = await platform.service(Accounts).find(session, address=address.lower())
        held = await platform.service(ExecutionService).at(session, holder.account_id)
    data, now = platform.outside.market_data, market.now()
    last = max(day for day in data.days() if close_of(day) <= now)
    window = returns_window(data, last, WINDOWS[confidence])
    prices = [to_units(price, PRICE_DECIMALS) for price in window.prices]
    pnl = pnl_units([held.get(name, 0) for name in window.universe], prices, window.returns)
    known = {"account": address, "day": last.isoformat(), "method": method, "confidence": confidence}
    return known | {"window": len(pnl)} | assessed(pnl, method, Decimal(confidence))


def assessed(pnl: Sequence[int], method: str, confidence: Decimal) -> dict[str, str | None]:
    """Return a P&L's (1e-16 USD) VaR in USD, or None and the reason; with the historical one the expected shortfall."""
    if method == "historical":
        shortfall = math.ceil(expected_shortfall_units(pnl, confidence))
        return {
            "value": decimal_string(usd(historical_var_units(pnl, confidence))),
            "expected_shortfall": decimal_string(usd(shortfall)),
        }
    if not any(pnl):
        return {"value": "0"}
    shape = moments(np.array([float(Decimal(day).scaleb(-PNL_DECIMALS)) for day in pnl]))
    if method == "gaussian":
        return {"value": f"{gaussian_var(shape, confidence):.6f}"}
    modified = cornish_fisher_var(shape, confidence)
    if isinstance(modified, OutsideDomain):
        found = f"skewness {modified.skew:.4f}, excess kurtosis {modified.excess:.4f}"
        return {"value": None, "reason": f"outside Cornish-Fisher's domain: {modified.reason} ({found})"}
    return {"value": f"{modified:.6f}"}


def told(answer: dict[str, Any]) -> str:
    """Return an answer in a line."""
    head = f"{answer['method']} VaR {answer['confidence']} at the close of {answer['day']}, {answer['window']} days"
    if answer["value"] is None:
        return f"{head}: none, {answer['reason']}"
    shortfall = answer.get("expected_shortfall")
    return f"{head}: {answer['value']} USD" + (f", expected shortfall {shortfall} USD" if shortfall else "")
