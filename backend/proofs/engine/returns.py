"""The published market data: from closes to a matrix, its packing and its id."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from itertools import pairwise

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.kernel.errors import Invalid
from backend.kernel.fixed import PRICE_DECIMALS, RETURN_DECIMALS, to_units
from backend.proofs.types import Matrix

RETURN_BYTES = 3
RETURN_LIMIT = 1 << 23
PRICE_LIMIT = 1 << 32
JUMP_BOUND = Decimal("0.5")  # a clean daily return beyond 50 % is taken for a data fault

Closes = Sequence[Sequence[Decimal | None]]


def universe_id(tickers: Sequence[str]) -> bytes:
    """Return keccak256(abi.encode(bytes32[])) of the tickers, ASCII, right-padded."""
    if not tickers or len(set(tickers)) != len(tickers):
        raise Invalid("a universe is a non-empty list of different tickers")
    words = [ticker.encode("ascii").ljust(32, b"\0") for ticker in tickers]
    if any(len(word) != 32 for word in words):
        raise Invalid("a ticker has at most 32 characters")
    return keccak(encode(["bytes32[]"], [words]))


def pack_returns(rows: Sequence[Sequence[int]]) -> bytes:
    """Return W rows of N signed returns (1e-6) as 3 bytes each, big-endian two's complement, row by row."""
    width = len(rows[0]) if rows else 0
    if any(len(row) != width for row in rows):
        raise Invalid("rows of different lengths")
    if any(not -RETURN_LIMIT <= value < RETURN_LIMIT for row in rows for value in row):
        raise Invalid("a return does not fit 24 bits")
    return b"".join(value.to_bytes(RETURN_BYTES, "big", signed=True) for row in rows for value in row)


def unpack_returns(packed: bytes, instruments: int) -> tuple[tuple[int, ...], ...]:
    """Return the rows of a packed matrix."""
    stride = RETURN_BYTES * instruments
    if instruments < 1 or not packed or len(packed) % stride:
        raise Invalid(f"{len(packed)} bytes are no rows of {instruments} returns")
    values = [
        int.from_bytes(packed[at : at + RETURN_BYTES], "big", signed=True) for at in range(0, len(packed), RETURN_BYTES)
    ]
    return tuple(tuple(values[at : at + instruments]) for at in range(0, len(values), instruments))


def returns_id(matrix: Matrix) -> bytes:
    """Return keccak256(abi.encode(universe id, uint64 epoch, uint256[] prices, bytes packed returns))."""
    types = ["bytes32", "uint64", "uint256[]", "bytes"]
    return keccak(encode(types, [matrix.universe_id, matrix.epoch, matrix.prices, matrix.packed]))


def build_matrix(
    universe: Sequence[str],
    epoch: int,
    closes: Sequence[Decimal | None],
    adjusted_closes: Closes,
    jump_bound: Decimal = JUMP_BOUND,
) -> Matrix:
    """Return the matrix of an epoch, or raise Invalid naming the day and instrument that forbid it.

    closes (N,): the epoch's closing prices, USD, rounded half to even at 1e-4. adjusted_closes (W+1, N): adjusted for
    splits and dividends, oldest day first, the last day being the epoch; None is a missing day. Return_w = close_w /
    close_(w-1) - 1, rounded half to even at 1e-6. Nothing is carried over a gap.
    """
    if len(adjusted_closes) < 2:
        raise Invalid("a return needs two days")
    rows = [_checked(row, universe, f"day {day}") for day, row in enumerate(adjusted_closes)]
    prices = tuple(_price(close) for close in _checked(closes, universe, "the close"))
    for ticker, price in zip(universe, prices, strict=True):
        if not 0 < price < PRICE_LIMIT:
            raise Invalid(f"{ticker}: price out of range")
    returns = [
        [
            _return(old, new, f"day {day} of {ticker}", jump_bound)
            for old, new, ticker in zip(*pair, universe, strict=True)
        ]
        for day, pair in enumerate(pairwise(rows), start=1)
    ]
    return Matrix(universe_id(universe), epoch, prices, pack_returns(returns))


def _checked(row: Sequence[Decimal | None], universe: Sequence[str], where: str) -> list[Decimal]:
    if len(row) != len(universe):
        raise Invalid(f"{where}: {len(row)} prices for {len(universe)} instruments")
    checked = []
    for ticker, price in zip(universe, row, strict=True):
        if price is None:
            raise Invalid(f"{where}: no price of {ticker}")
        if not price.is_finite() or price <= 0:
            raise Invalid(f"{where}: price {price} of {ticker} is not positive")
        checked.append(price)
    return checked


def _price(close: Decimal) -> int:
    return to_units(close.quantize(Decimal(1).scaleb(-PRICE_DECIMALS), rounding=ROUND_HALF_EVEN), PRICE_DECIMALS)


def _return(old: Decimal, new: Decimal, where: str, jump_bound: Decimal) -> int:
    with localcontext(prec=50):
        change = new / old - 1
        if abs(change) > jump_bound:
            raise Invalid(f"{where}: a return of {change:.6f} is beyond {jump_bound}")
        units = int(change.scaleb(RETURN_DECIMALS).to_integral_value(ROUND_HALF_EVEN))
    if not -RETURN_LIMIT <= units < RETURN_LIMIT:
        raise Invalid(f"{where}: a return of {change:.6f} does not fit 24 bits")
    return units
