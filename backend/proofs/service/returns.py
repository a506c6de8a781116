"""Publish the matrix that an epoch's claims are about."""

from datetime import date
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.clock import close_of, epoch_of
from backend.kernel.errors import Conflict, Tampered
from backend.kernel.fixed import PRICE_DECIMALS, from_units
from backend.ports.chain import Chain
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.market_data import MarketData
from backend.ports.signer import KeyRole
from backend.proofs import repository
from backend.proofs.engine.kept import Publication, returns_file, word
from backend.proofs.engine.returns import build_matrix, returns_id
from backend.proofs.types import Matrix

POLICY = "proofs:1"
ORACLE = "ReturnsOracle"
ZERO_WORD = bytes(32)


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
        self, chain: Chain, market: MarketData, pinner: Pinner, journal: Journal, clock: Clock, *, window: int
    ) -> None:
        self._chain = chain
        self._market = market
        self._pinner = pinner
        self._journal = journal
        self._clock = clock
        self._window = window

    async def publish(self, session: AsyncSession, day: date) -> Publication:
        """Pin a trading day's matrix and publish it on chain, once; raise Tampered when the chain holds another one."""
        if self._clock.business() < close_of(day):
            raise Conflict(f"{day} is not over on the business clock")
        matrix = self.matrix(day)
        known = await repository.publication(session, matrix.universe_id, matrix.epoch)
        if known is not None:
            return known
        pin = await self._pinner.pin(session, "returns", returns_file(self._market.universe(), matrix))
        published = Publication(matrix, returns_id(matrix), pin.cid, await self._on_chain(matrix))
        if await repository.add_publication(session, published):
            await self._record(session, published)
        return published

    def matrix(self, day: date) -> Matrix:
        """Return the matrix of a trading day; raise NotFound or Invalid where prices are missing or not plausible."""
        panel = self._market.history(day, self._window + 1)
        scale = 10**PRICE_DECIMALS
        closes = [[from_units(round(price * scale), PRICE_DECIMALS) for price in row] for row in panel.close.T.tolist()]
        return build_matrix(panel.instruments, epoch_of(day), closes[-1], closes)

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
