"""The one place where Decimal amounts become integers and back.

Units: a quantity unit is 1e-6 of a share, a price unit 1e-4 USD, a notional unit 1e-6 USD, a return unit 1e-6.
The product of a quantity, a price and a return unit, the P&L unit, is 1e-16 USD.
"""

from decimal import ROUND_DOWN, Decimal, localcontext

from backend.kernel.errors import Invalid

QUANTITY_DECIMALS = 6
PRICE_DECIMALS = 4
NOTIONAL_DECIMALS = 6
RETURN_DECIMALS = 6
PNL_DECIMALS = QUANTITY_DECIMALS + PRICE_DECIMALS + RETURN_DECIMALS
PRECISION = 60


def to_units(value: Decimal, decimals: int) -> int:
    """Return value * 10**decimals as an integer; raise Invalid when that is not exact."""
    with localcontext(prec=PRECISION):
        scaled = value.scaleb(decimals)
        if not scaled.is_finite() or scaled != scaled.to_integral_value():
            raise Invalid(f"{value} has more than {decimals} decimals")
        return int(scaled)


def from_units(units: int, decimals: int) -> Decimal:
    """Return units / 10**decimals, exactly."""
    with localcontext(prec=PRECISION):
        return Decimal(units).scaleb(-decimals)


def round_down(value: Decimal, decimals: int) -> Decimal:
    """Return value cut towards zero to the given number of decimals."""
    with localcontext(prec=PRECISION):
        return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN)
