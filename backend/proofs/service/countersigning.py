"""Stand by what another publisher published, or say where the two differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.clock import day_of
from backend.kernel.errors import NotFound, Unavailable
from backend.market.types import DataBounds, Unclean
from backend.ports.chain import Chain, Reverted
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.market_data import MarketData
from backend.ports.signer import KeyRole
from backend.proofs import repository
from backend.proofs.engine.kept import word
from backend.proofs.engine.returns import build_matrix, first_difference, returns_id, universe_id
from backend.proofs.service.returns import ORACLE, POLICY, ZERO_WORD, clean_returns

NOT_AT_HAND = "the matrix behind its id is not at hand: where it differs is not known"


@dataclass(frozen=True, slots=True)
class Countersigned:
    """Both publishers made the same matrix, and the chain says so."""

    epoch: int
    returns_id: bytes
    publisher: str
    tx_hash: str


@dataclass(frozen=True, slots=True)
class Disputed:
    """The published matrix is not the one that this publisher's data gives, and where it first differs."""

    epoch: int
    returns_id: bytes
    reason: str


class CountersignService:
    """Makes every published matrix again from a source of its own; signs the equal ones and no other."""

    def __init__(
        self,
        chain: Chain,
        market: MarketData,
        journal: Journal,
        publisher: str,
        *,
        window: int,
        bounds: DataBounds | None = None,
    ) -> None:
        """Take the address behind KeyRole.COUNTERSIGNER: a dispute is recorded under it."""
        self._chain = chain
        self._market = market
        self._journal = journal
        self._publisher = publisher
        self._window = window
        self._bounds = bounds or DataBounds()
        self._universe_id = universe_id(market.universe())

    async def waiting(self, session: AsyncSession) -> Sequence[int]:
        """Return the published epochs that were not agreed with yet, oldest first."""
        return await repository.without_second(session, self._universe_id)

    async def countersign(self, session: AsyncSession, epoch: int) -> Countersigned | Disputed | None:
        """Sign an epoch's matrix on chain when it is the one made here; None while nothing is published.

        What came of it is recorded once.
        """
        found = bytes(await self._chain.call(ORACLE, "returnsIdOf", self._universe_id, epoch))
        if found == ZERO_WORD:
            return None
        objection = await self._objection(session, epoch, found)
        if objection is not None:
            disputed = Disputed(epoch, found, objection)
            await self._record(session, disputed)
            return disputed
        publisher, tx_hash = await self._sign(epoch, found)
        signed = Countersigned(epoch, found, publisher, tx_hash)
        await self._record(session, signed)
        return signed

    async def _objection(self, session: AsyncSession, epoch: int, found: bytes) -> str | None:
        """Return why a matrix cannot be stood by, None when it is ours."""
        try:
            window = clean_returns(self._market, day_of(epoch), self._window, self._bounds)
        except (Unclean, NotFound) as why:
            return f"there is no clean data here: {why.detail}"
        if returns_id(build_matrix(window)) == found:
            return None
        published = await repository.publication(session, self._universe_id, epoch)
        # Only what hashes to the id on chain is what was published.
        if published is None or returns_id(published.matrix) != found:
            return NOT_AT_HAND
        difference = first_difference(window, published.matrix)
        return NOT_AT_HAND if difference is None else difference.told()

    async def _sign(self, epoch: int, found: bytes) -> tuple[str, str]:
        """Return who signed and in which transaction: another second publisher may have been faster."""
        key = (self._universe_id, epoch)
        if not await self._chain.call(ORACLE, "isCountersigned", *key):
            try:
                await self._chain.send(KeyRole.COUNTERSIGNER, ORACLE, "countersign", *key, found)
            except Reverted as no:
                if no.name != "AlreadyCountersigned":
                    raise
        signed = await self._chain.events(
            ORACLE, "Countersigned", filters={"universeId": self._universe_id, "epoch": epoch}
        )
        if not signed:
            raise Unavailable("the chain does not show the second signature yet")
        return str(signed[-1]["publisher"]).lower(), str(signed[-1]["tx_hash"])

    async def _record(self, session: AsyncSession, outcome: Countersigned | Disputed) -> None:
        standing = repository.AGREES if isinstance(outcome, Countersigned) else repository.DIFFERS
        if not await repository.note_second(session, self._universe_id, outcome.epoch, standing):
            return
        fields = {
            "epoch": outcome.epoch,
            "universe_id": word(self._universe_id),
            "returns_id": word(outcome.returns_id),
        }
        if isinstance(outcome, Countersigned):
            event = "returns.countersigned"
            fields |= {"publisher": outcome.publisher, "tx_hash": outcome.tx_hash}
        else:
            event = "returns.disputed"
            fields |= {"publisher": self._publisher, "reason": outcome.reason}
        await self._journal.record(session, SYSTEM_ACCOUNT, event, fields, actor=SYSTEM_ACCOUNT, policy=POLICY)
