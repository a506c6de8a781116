"""An account's VaR by several methods, from what it holds now."""

from decimal import Decimal
from typing import Any

import numpy as np

from backend.accounts.service import Accounts
from backend.execution.service import ExecutionService
from backend.kernel.clock import close_of
from backend.kernel.errors import Conflict, Invalid
from backend.kernel.fixed import PNL_DECIMALS, PRICE_DECIMALS, to_units
from backend.market.engine import returns_window
from backend.market.service import MarketService
from backend.risk.engine.var import (
    OutsideDomain,
    cornish_fisher_var,
    gaussian_var,
    historical_var_units,
    moments,
    pnl_units,
    usd,
)

METHODS = ("historical", "cornish-fisher", "gaussian")
WINDOWS = {"0.95": 90, "0.99": 250}


async def account_var(platform: Any, address: str, method: str, confidence: str) -> dict[str, Any]:
    """Return the VaR in USD at the last close, with the method and the number of days behind it."""
    if confidence not in WINDOWS:
        raise Invalid(f"confidence is one of {', '.join(WINDOWS)}, not {confidence}")
    market: MarketService = platform.service(MarketService)
    async with platform.database.reading() as session:
        holder = await platform.service(Accounts).find(session, address=address.lower())
        held = await platform.service(ExecutionService).at(session, holder.account_id)
    data, today = platform.outside.market_data, market.today()
    last = max(day for day in data.days() if close_of(day) <= close_of(today))
    window = returns_window(data, last, WINDOWS[confidence])
    prices = [to_units(price, PRICE_DECIMALS) for price in window.prices]
    pnl = pnl_units([held.get(name, 0) for name in window.universe], prices, window.returns)
    value = _value(pnl, method, Decimal(confidence))
    return {"account": address, "method": method, "confidence": confidence, "window": len(pnl), "value": value}


def _value(pnl: list[int], method: str, confidence: Decimal) -> str:
    if method == "historical":
        return str(usd(historical_var_units(pnl, confidence)))
    if not any(pnl):
        return "0"
    shape = moments(np.array([float(Decimal(day).scaleb(-PNL_DECIMALS)) for day in pnl]))
    if method == "gaussian":
        return f"{gaussian_var(shape, confidence):.6f}"
    modified = cornish_fisher_var(shape, confidence)
    if isinstance(modified, OutsideDomain):
        raise Conflict(f"Cornish-Fisher does not hold for these returns: {modified.reason}")
    return f"{modified:.6f}"
