"""Commit to every account's positions at the end of an epoch."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.clock import close_of, day_of, epoch_of
from backend.kernel.errors import Conflict, Unavailable
from backend.kernel.field import SCALAR_FIELD
from backend.kernel.poseidon import position_commitment
from backend.kernel.refusal import Refused
from backend.kit.pagination import MAX_LIMIT, Page, PageRequest
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.proofs import repository
from backend.proofs.engine.kept import ClosedEpoch, Closing, position_vector, word
from backend.proofs.engine.returns import universe_id

POLICY = "proofs:1"


class TradingAccount(Protocol):
    """What is asked of an account: database id, wallet (lower case), pseudonym in the log."""

    @property
    def id(self) -> int:
        """The database id."""
        ...

    @property
    def address(self) -> str:
        """The wallet."""
        ...

    @property
    def pseudonym(self) -> str:
        """The name in the log."""
        ...


class Directory(Protocol):
    """Lists the accounts whose chains are open."""

    async def page(self, session: AsyncSession, request: PageRequest) -> Page[Any]:
        """Return a page of TradingAccount."""
        ...


class Holdings(Protocol):
    """Knows what accounts hold."""

    async def at_close(self, session: AsyncSession, account_id: int) -> Mapping[str, int]:
        """Return instrument -> signed quantity (1e-6); nothing is added to it before the transaction ends."""
        ...


class EpochService:
    """Commits to every account's positions at the end of an epoch."""

    def __init__(
        self, journal: Journal, clock: Clock, directory: Directory, holdings: Holdings, universe: Sequence[str]
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._directory = directory
        self._holdings = holdings
        self._universe = tuple(universe)
        self._universe_id = universe_id(self._universe)

    async def open_account_fields(self, session: AsyncSession, account: TradingAccount) -> Mapping[str, str | int]:
        """Return what `account.opened` says beside its name: the wallet, the epoch and the empty portfolio."""
        commitment = await self._commitment(session, account.pseudonym, (0,) * len(self._universe))
        epoch = epoch_of(self._clock.business())
        return {"subject": account.address, "epoch": epoch, "position_commitment": word(commitment)}

    async def close(self, session: AsyncSession, epoch: int) -> Closing:
        """Record every account's `epoch.closed`, once; an account with holdings outside the universe is refused."""
        self._require_over(epoch)
        closed, refused = [], []
        async for account in self._accounts(session):
            outcome = await self._close(session, account, epoch)
            if isinstance(outcome, Refused):
                refused.append((account.pseudonym, outcome))
            else:
                closed.append(outcome)
        return Closing(epoch, tuple(closed), tuple(refused))

    async def _accounts(self, session: AsyncSession) -> AsyncIterator[TradingAccount]:
        request: PageRequest | None = PageRequest(MAX_LIMIT)
        while request is not None:
            page = await self._directory.page(session, request)
            for account in page.items:
                yield account
            request = PageRequest(MAX_LIMIT, page.next_before) if page.next_before is not None else None

    def _require_over(self, epoch: int) -> None:
        now = self._clock.business()
        if now < close_of(day_of(epoch)):
            raise Conflict(f"epoch {epoch} is not over on the business clock")
        if epoch_of(now) != epoch:
            raise Conflict(f"what accounts held at the end of epoch {epoch} is not known any more")

    async def _close(self, session: AsyncSession, account: TradingAccount, epoch: int) -> ClosedEpoch | Refused:
        known = await repository.closed_epoch(session, account.pseudonym, epoch)
        if known is not None:
            return known
        positions = position_vector(self._universe, await self._holdings.at_close(session, account.id))
        if isinstance(positions, list):
            return await self._refuse(session, account, epoch, positions)
        commitment = await self._commitment(session, account.pseudonym, positions)
        fields = {
            "subject": account.address,
            "epoch": epoch,
            "position_commitment": word(commitment),
            "universe_id": word(self._universe_id),
        }
        recorded = await self._journal.record(
            session,
            account.pseudonym,
            "epoch.closed",
            fields,
            actor=SYSTEM_ACCOUNT,
            policy=POLICY,
            ts_event=close_of(day_of(epoch)),
        )
        closed = ClosedEpoch(
            account=account.pseudonym,
            subject=account.address,
            epoch=epoch,
            universe_id=self._universe_id,
            positions=positions,
            commitment=commitment,
            record_id=recorded.record_id,
            record_seq=recorded.seq,
        )
        await repository.add_epoch(session, closed)
        return closed

    async def _refuse(
        self, session: AsyncSession, account: TradingAccount, epoch: int, instruments: list[str]
    ) -> Refused:
        names = ", ".join(instruments)
        refused = Refused("risk", "outside_universe", f"holdings cannot be attested: {names}", {"instruments": names})
        fields = {"epoch": epoch, "rule": refused.rule, "reason": refused.reason}
        await self._journal.record(
            session, account.pseudonym, "epoch.refused", fields, actor=SYSTEM_ACCOUNT, policy=POLICY
        )
        return refused

    async def _commitment(self, session: AsyncSession, account: str, positions: Sequence[int]) -> int:
        salt = await _salt(session, account)
        return await asyncio.to_thread(position_commitment, salt, self._universe_id, positions)


async def _salt(session: AsyncSession, account: str) -> int:
    known = await repository.salt_of(session, account)
    if known is not None:
        return known
    await repository.keep_salt(session, account, secrets.randbelow(SCALAR_FIELD))
    kept = await repository.salt_of(session, account)
    if kept is None:
        raise Unavailable("the account's salt was not kept")
    return kept
