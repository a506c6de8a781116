"""Publish the matrix that an epoch's claims are about."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.clock import close_of, epoch_of
from backend.kernel.errors import Conflict, Tampered
from backend.kernel.refusal import Refused
from backend.market.engine import returns_window
from backend.market.types import DataBounds, ReturnsWindow, Unclean
from backend.ports.chain import Chain
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.market_data import MarketData
from backend.ports.signer import KeyRole
from backend.proofs import repository
from backend.proofs.engine.kept import Publication, returns_file, word
from backend.proofs.engine.returns import build_matrix, returns_id, universe_id
from backend.proofs.types import Matrix

POLICY = "proofs:1"
ORACLE = "ReturnsOracle"
ZERO_WORD = bytes(32)
# Trading days that are looked back upon for some that were refused or missed: about three months
LOOK_BACK = 63


def clean_returns(market: MarketData, day: date, window: int, bounds: DataBounds) -> ReturnsWindow:
    """Return what a trading day's matrix is made of; raise NotFound for another day, Unclean for bad data."""
    made = returns_window(market, day, window, bounds)
    for instrument in market.universe():
        if instrument not in made.universe:
            raise Unclean("incomplete", f"{instrument} on {day}: no data", day, instrument)
    return made


class Pinned(Protocol):
    """Something that was published by content."""

    @property
    def cid(self) -> str:
        """Its content identifier."""
        ...


class Pinner(Protocol):
    """Publishes bytes; never fails because a store is down."""

    async def pin(self, session: AsyncSession, kind: str, content: bytes) -> Pinned:
        """Return the pin."""
        ...


class ReturnsService:
    """Publishes the matrix that an epoch's claims are about."""

    def __init__(
        self,
        chain: Chain,
        market: MarketData,
        pinner: Pinner,
        journal: Journal,
        clock: Clock,
        *,
        window: int,
        bounds: DataBounds | None = None,
    ) -> None:
        self._chain = chain
        self._market = market
        self._pinner = pinner
        self._journal = journal
        self._clock = clock
        self._window = window
        self._bounds = bounds or DataBounds()

    async def publish(self, session: AsyncSession, day: date) -> Publication | Refused:
        """Pin a trading day's matrix and publish it on chain, once; data that is not clean is refused on record.

        Raise Tampered when the chain holds another matrix.
        """
        if self._clock.business() < close_of(day):
            raise Conflict(f"{day} is not over on the business clock")
        try:
            matrix = self.matrix(day)
        except Unclean as why:
            return await self._refuse(session, day, why)
        # Before the database is asked anything: SQLite's writers must not wait for the chain.
        tx_hash = await self._on_chain(matrix)
        known = await repository.publication(session, matrix.universe_id, matrix.epoch)
        if known is not None and not tx_hash:
            return known
        pin = await self._pinner.pin(session, "returns", returns_file(self._market.universe(), matrix))
        published = Publication(matrix, returns_id(matrix), pin.cid, tx_hash)
        if known is not None:
            # A reorganised chain had lost it.
            await repository.note_published(session, published)
            await self._record(session, published)
        elif await repository.add_publication(session, published):
            await self._record(session, published)
        return published

    async def due(self, session: AsyncSession) -> Sequence[date]:
        """Return the trading days that are over and not published, oldest first; at first only the last.

        None before the first that was published, and none of longer ago than the last LOOK_BACK that are over.
        """
        now, universe = self._clock.business(), universe_id(self._market.universe())
        over = [day for day in self._market.days() if close_of(day) <= now]
        first = await repository.first_publication(session, universe)
        if first is None:
            return over[-1:]
        recent = [day for day in over[-LOOK_BACK:] if epoch_of(day) > first]
        known = await repository.publications_since(session, universe, epoch_of(recent[0])) if recent else set()
        return [day for day in recent if epoch_of(day) not in known]

    def matrix(self, day: date) -> Matrix:
        """Return the matrix of a trading day; raise NotFound for another day, Unclean where the data is not good."""
        return build_matrix(clean_returns(self._market, day, self._window, self._bounds))

    async def _on_chain(self, matrix: Matrix) -> str:
        wanted, key = returns_id(matrix), (matrix.universe_id, matrix.epoch)
        tx_hash = ""
        found = bytes(await self._chain.call(ORACLE, "returnsIdOf", *key))
        if found == ZERO_WORD:
            prices = list(matrix.prices)
            tx_hash = (
                await self._chain.send(KeyRole.PUBLISHER, ORACLE, "publish", *key, prices, matrix.packed)
            ).tx_hash
            found = bytes(await self._chain.call(ORACLE, "returnsIdOf", *key))
        if found != wanted:
            raise Tampered("the oracle holds another matrix", epoch=matrix.epoch, found=word(found))
        return tx_hash

    async def _record(self, session: AsyncSession, published: Publication) -> None:
        fields = {
            "epoch": published.matrix.epoch,
            "universe_id": word(published.matrix.universe_id),
            "returns_id": word(published.returns_id),
            "cid": published.cid,
            "tx_hash": published.tx_hash,
        }
        await self._journal.record(
            session, SYSTEM_ACCOUNT, "returns.published", fields, actor=SYSTEM_ACCOUNT, policy=POLICY
        )

    async def _refuse(self, session: AsyncSession, day: date, why: Unclean) -> Refused:
        detail = {"day": (why.day or day).isoformat(), "instrument": why.instrument}
        refused = Refused("risk", why.rule, why.detail, detail)
        fields = {
            "universe_id": word(universe_id(self._market.universe())),
            "epoch": epoch_of(day),
            "rule": refused.rule,
            "reason": refused.reason,
            **detail,
        }
        await self._journal.record(
            session, SYSTEM_ACCOUNT, "returns.refused", fields, actor=SYSTEM_ACCOUNT, policy=POLICY
        )
        return refused
