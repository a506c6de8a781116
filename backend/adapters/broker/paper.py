"""Fills orders at the replayed day's closing price, with slippage and a fee; nothing leaves the machine."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from backend.kernel.errors import Unavailable
from backend.kernel.fixed import NOTIONAL_DECIMALS, PRICE_DECIMALS
from backend.ports.broker import Accepted, Execution, Rejected, Side, Unknown, VenueOrder
from backend.ports.clock import Clock

PRICE_TICK = Decimal(1).scaleb(-PRICE_DECIMALS)
FEE_TICK = Decimal(1).scaleb(-NOTIONAL_DECIMALS)


@dataclass(frozen=True, slots=True)
class PaperRates:
    """Costs as shares of the notional: slippage against the order, fee on top."""

    slippage: Decimal
    fee: Decimal


BOOKS = """
CREATE TABLE IF NOT EXISTS orders (
    client_order_id TEXT PRIMARY KEY, account TEXT, instrument TEXT, side TEXT, quantity TEXT,
    price TEXT, fee TEXT, executed_at TEXT, day TEXT
)
"""
BY_DAY = "CREATE INDEX IF NOT EXISTS orders_by_day ON orders (day)"
BY_ID = """
SELECT client_order_id, account, instrument, side, quantity, price, fee, executed_at
FROM orders WHERE client_order_id = ?
"""
OF_DAY = """
SELECT client_order_id, account, instrument, side, quantity, price, fee, executed_at
FROM orders WHERE day = ? ORDER BY rowid
"""
INSERT = "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
WITHDRAWN = Rejected("withdrawn before it arrived")


class PaperBroker:
    """Answers every client_order_id once, and again with the same answer, after a restart too.

    The venue's books are a file of their own, so that ours can be compared with them; processes that name the same
    file trade at the same venue. Without a file the books last as long as the object.
    """

    venue = "PAPER"
    live = False

    def __init__(
        self, price: Callable[[str], Decimal | None], rates: PaperRates, clock: Clock, books: Path | None = None
    ) -> None:
        self._price = price
        self._rates = rates
        self._clock = clock
        self._file = books
        self._opened: sqlite3.Connection | None = None

    async def submit(self, order: VenueOrder) -> Accepted | Rejected | Unknown:
        """Fill one order in full at today's close, moved against it by the slippage rate."""
        with self._books() as books:
            known = _known(books, order.client_order_id)
            if known is not None:
                return _again(known, order)
            close = self._price(order.instrument)
            if close is None:
                return Rejected(f"{order.instrument} has no price today")
            if order.quantity <= 0:
                return Rejected("quantity must be positive")
            answer = self._fill(order, close)
            _write(books, order, answer)
            return answer

    async def cancel(self, client_order_id: str) -> Accepted | Rejected | Unknown:
        """Withdraw an order; one that has not arrived yet is turned away when it does."""
        with self._books() as books:
            known = _known(books, client_order_id)
            if known is None:
                books.execute("INSERT INTO orders (client_order_id) VALUES (?)", (client_order_id,))
            return known.fill if isinstance(known, Execution) else WITHDRAWN

    async def executions(self, day: date) -> Sequence[Execution]:
        """Return the fills of a business day, in their order."""
        with self._books() as books:
            return [_execution(row) for row in books.execute(OF_DAY, (day.isoformat(),))]

    def close(self) -> None:
        """Give the books back."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @contextmanager
    def _books(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._opened is None:
                self._opened = _open(self._file)
            self._opened.execute("BEGIN IMMEDIATE")
            try:
                yield self._opened
            finally:
                self._opened.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable(f"the paper venue's books do not open: {error}") from error

    def _fill(self, order: VenueOrder, close: Decimal) -> Accepted:
        sign = 1 if order.side == "buy" else -1
        price = (close * (1 + sign * self._rates.slippage)).quantize(PRICE_TICK, rounding=ROUND_HALF_EVEN)
        fee = (price * order.quantity * self._rates.fee).quantize(FEE_TICK, rounding=ROUND_HALF_EVEN)
        return Accepted(venue_order_id(order.client_order_id), order.quantity, price, fee, self._clock.business())


def venue_order_id(client_order_id: str) -> str:
    """Return the id that the paper venue gives an order: always the same for the same client order id."""
    return "PAPER-" + hashlib.sha256(b"refi/paper/v1\x00" + client_order_id.encode()).hexdigest()[:24]


def _open(file: Path | None) -> sqlite3.Connection:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    books = sqlite3.connect(":memory:" if file is None else file, isolation_level=None, check_same_thread=False)
    books.execute("PRAGMA journal_mode=WAL")
    # A paper venue may forget its last moments when the power goes: the reconciliation says so then.
    books.execute("PRAGMA synchronous=NORMAL")
    books.execute(BOOKS)
    books.execute(BY_DAY)
    return books


def _known(books: sqlite3.Connection, client_order_id: str) -> Execution | Rejected | None:
    row = books.execute(BY_ID, (client_order_id,)).fetchone()
    if row is None:
        return None
    return WITHDRAWN if row[1] is None else _execution(row)


def _again(known: Execution | Rejected, order: VenueOrder) -> Accepted | Rejected:
    if isinstance(known, Rejected):
        return known
    asked = (order.account, order.instrument, order.side, order.quantity)
    if asked != (known.account, known.instrument, known.side, known.fill.quantity):
        return Rejected("client_order_id was used for another order")
    return known.fill


def _write(books: sqlite3.Connection, order: VenueOrder, fill: Accepted) -> None:
    amounts = [str(amount) for amount in (fill.quantity, fill.price, fill.fee)]
    moment = fill.executed_at.astimezone(UTC)
    books.execute(
        INSERT,
        (
            order.client_order_id,
            order.account,
            order.instrument,
            order.side,
            *amounts,
            moment.isoformat(),
            moment.date().isoformat(),
        ),
    )


def _execution(row: Sequence[str]) -> Execution:
    client_order_id, account, instrument, side, quantity, price, fee, executed_at = row
    sold: Side = "buy" if side == "buy" else "sell"
    fill = Accepted(
        venue_order_id(client_order_id),
        Decimal(quantity),
        Decimal(price),
        Decimal(fee),
        datetime.fromisoformat(executed_at),
    )
    return Execution(client_order_id, account, instrument, sold, fill)
