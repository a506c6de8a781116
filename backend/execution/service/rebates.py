"""Gives stakers a share of their fees back once a day is over."""

import asyncio
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.execution import repository
from backend.kernel.canonical import decimal_string
from backend.kernel.errors import NotFound, RefiError, Unavailable
from backend.kernel.fixed import NOTIONAL_DECIMALS, from_units
from backend.kit.db import Database
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.staking import StakeTier, Staking

log = structlog.get_logger(__name__)

POLICY = "rebates:1"
EVERY = timedelta(seconds=5)


class Rebates:
    """Settles the fees of days that are over: an account in one transaction, each order once.

    The tier is the one at settlement. While the chain does not answer nothing is settled and nothing lost.
    """

    def __init__(self, database: Database, staking: Staking, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._staking = staking
        self._journal = journal
        self._clock = clock

    async def run(self, every: timedelta = EVERY) -> None:
        """Settle what is due, again and again, until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(every.total_seconds())

    async def run_once(self) -> int:
        """Settle every account whose fees of past days are open; return how many got something back."""
        today = datetime.combine(self._clock.business().date(), time.min, UTC)
        async with self._database.reading() as session:
            due = await repository.accounts_with_open_fees(session, today)
        paid = 0
        for account_id, address, pseudonym in due:
            try:
                paid += await self._settle(account_id, address, pseudonym, today)
            except NotFound:
                return paid
            except Unavailable as error:
                log.warning("rebate.postponed", code=error.code, reason=error.detail)
                return paid
            except RefiError as error:
                # One account's fault keeps nobody else waiting.
                log.warning("rebate.failed", account=pseudonym, code=error.code, reason=error.detail)
        return paid

    async def standing(self, session: AsyncSession, caller: Caller) -> tuple[StakeTier, Decimal]:
        """Return how a wallet stands on chain, and what it was given back in all, USD."""
        total = await repository.rebated(session, caller.account_id)
        return await self._staking.tier(caller.address), from_units(total, NOTIONAL_DECIMALS)

    async def _settle(self, account_id: int, address: str, pseudonym: str, today: datetime) -> bool:
        # Before the transaction: the chain is not asked while others wait for the writer.
        stake = await self._staking.tier(address)
        async with self._database.transaction() as session:
            cash = await repository.lock_own_cash(session, account_id)
            settled = await repository.settle_fees(session, account_id, today, stake.rebate_bps)
            total = sum(rebate.given for rebate in settled)
            if not total:
                return False
            cash.units += total * 10 ** (repository.CASH_DECIMALS - NOTIONAL_DECIMALS)
            await session.flush()
            fields = {
                "orders": len(settled),
                "fees": decimal_string(from_units(sum(rebate.fee for rebate in settled), NOTIONAL_DECIMALS)),
                "rebate": decimal_string(from_units(total, NOTIONAL_DECIMALS)),
                "rebate_bps": stake.rebate_bps,
                "tier": stake.tier,
                "block_number": stake.block_number,
            }
            await self._journal.record(session, pseudonym, "fee.rebated", fields, actor=SYSTEM_ACCOUNT, policy=POLICY)
        return True
