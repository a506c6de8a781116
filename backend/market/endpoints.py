"""Routes of the market: instruments, bars, and the business clock."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from backend.accounts.endpoints import requires
from backend.accounts.types import Caller, Role
from backend.kernel.clock import epoch_of
from backend.kit.deps import Transaction, provided
from backend.market.schemas import BarOut, BarsOut, ClockOut, InstrumentsOut
from backend.market.service import MarketService

router = APIRouter(prefix="/market", tags=["market"])

Market = Annotated[MarketService, Depends(provided(MarketService))]
Operator = Annotated[Caller, Depends(requires(Role.OPERATOR, Role.ADMIN))]


@router.get("/instruments")
async def instruments(market: Market) -> InstrumentsOut:
    """List what can be traded, and the data's source and licence."""
    source = market.source()
    return InstrumentsOut(
        instruments=list(market.universe()),
        source=source.name,
        licence=source.licence,
        first=source.first,
        last=source.last,
    )


@router.get("/bars")
async def bars(
    market: Market,
    instrument: Annotated[str, Query(min_length=1, max_length=32)],
    length: Annotated[int, Query(ge=1, le=2_000)] = 90,
) -> BarsOut:
    """Return an instrument's last days up to the business clock, oldest first."""
    found = [
        BarOut(day=bar.day, open=bar.open, high=bar.high, low=bar.low, close=bar.close, volume=bar.volume)
        for bar in market.bars(instrument, length)
    ]
    return BarsOut(instrument=instrument, bars=found)


@router.get("/clock")
async def clock(market: Market) -> ClockOut:
    """Return the business clock."""
    return _clock(market.now())


@router.post("/clock/advance")
async def advance(market: Market, caller: Operator, session: Transaction) -> ClockOut:
    """Open the next replayed trading day at its close."""
    return _clock(await market.advance(session, caller.pseudonym))


def _clock(now: datetime) -> ClockOut:
    return ClockOut(now=now, day=now.date(), epoch=epoch_of(now))
