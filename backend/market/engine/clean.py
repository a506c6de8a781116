"""What a panel must be before returns are made of it."""

from datetime import date
from itertools import pairwise

import numpy as np

from backend.kernel.fixed import PRICE_DECIMALS
from backend.market.engine.calendar import missing_days
from backend.market.types import DataBounds, Unclean
from backend.ports.market_data import Panel

PRICE_LIMIT = 1 << 32


def check_panel(panel: Panel, day: date, bounds: DataBounds) -> None:
    """Raise Unclean, naming day and instrument, for a panel that is incomplete, stale or jumps; nothing is carried."""
    if panel.days[-1] != day:
        raise Unclean("stale", f"the newest day is {panel.days[-1]}, not {day}", panel.days[-1])
    for missing in missing_days(panel.days):
        raise Unclean("incomplete", f"{missing}: no data, and the exchanges were open", missing)
    prices = np.stack([panel.close, panel.adjusted])
    scaled = prices * 10**PRICE_DECIMALS
    for name, found in (
        ("incomplete", ~np.isfinite(prices)),
        ("range", np.isfinite(prices) & ((scaled < 1) | (scaled >= PRICE_LIMIT))),
    ):
        if found.any():
            which, row, column = (int(place[0]) for place in np.nonzero(found))
            price = f"price {prices[which, row, column]:g} is none that can be published"
            said = price if name == "range" else "no price"
            raise _at(panel, name, row, column, said)
    _refuse_jumps(panel, bounds)
    _refuse_stale(panel, bounds)


def _refuse_jumps(panel: Panel, bounds: DataBounds) -> None:
    changes = panel.adjusted[:, 1:] / panel.adjusted[:, :-1] - 1
    found = np.argwhere(np.abs(changes) > float(bounds.jump))
    if found.size:
        row, column = (int(place) for place in found[0])
        said = f"a return of {changes[row, column]:.6f} is beyond {bounds.jump}"
        raise _at(panel, "jump", row, column + 1, said)


def _refuse_stale(panel: Panel, bounds: DataBounds) -> None:
    for row in range(len(panel.instruments)):
        same = 0
        for column, (before, after) in enumerate(pairwise(panel.adjusted[row]), start=1):
            same = same + 1 if before == after else 0
            if same >= bounds.stale_days:
                raise _at(panel, "stale", row, column, f"the price has not changed for {same} days")


def _at(panel: Panel, rule: str, row: int, column: int, said: str) -> Unclean:
    day, instrument = panel.days[column], panel.instruments[row]
    return Unclean(rule, f"{instrument} on {day}: {said}", day, instrument)
