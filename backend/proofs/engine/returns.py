"""The published market data: its packing, its id, and where two differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.kernel.errors import Invalid
from backend.kernel.fixed import PRICE_DECIMALS, to_units
from backend.market.types import ReturnsWindow
from backend.proofs.types import Matrix

RETURN_BYTES = 3
RETURN_LIMIT = 1 << 23


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


def build_matrix(window: ReturnsWindow) -> Matrix:
    """Return the matrix that is published for a window of returns."""
    prices = tuple(to_units(price, PRICE_DECIMALS) for price in window.prices)
    return Matrix(universe_id(window.universe), window.epoch, prices, pack_returns(window.returns))


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two matrices of an epoch first differ: the day (None for the closing prices), the instrument, both values.

    Values in 1e-6 for returns, in 1e-4 USD for prices.
    """

    day: date | None
    instrument: str
    ours: int
    theirs: int

    def told(self) -> str:
        """Return it in words."""
        where = f"the return of {self.instrument} on {self.day}" if self.day else f"the price of {self.instrument}"
        return f"{where} is {self.ours} here and {self.theirs} there"


def first_difference(window: ReturnsWindow, theirs: Matrix) -> Difference | None:
    """Return where a published matrix first differs from a window, prices before returns; None where nowhere.

    Raise Invalid when the two are not of one shape.
    """
    ours = build_matrix(window)
    if (ours.universe_id, ours.epoch) != (theirs.universe_id, theirs.epoch) or len(ours.packed) != len(theirs.packed):
        raise Invalid("the two matrices are not of the same universe, epoch and window")
    for instrument, here, there in zip(window.universe, ours.prices, theirs.prices, strict=True):
        if here != there:
            return Difference(None, instrument, here, there)
    published = unpack_returns(theirs.packed, len(window.universe))
    for day, row, other in zip(window.days, window.returns, published, strict=True):
        for instrument, here, there in zip(window.universe, row, other, strict=True):
            if here != there:
                return Difference(day, instrument, here, there)
    return None
