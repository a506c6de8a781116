"""Commit to every account's positions at the end of an epoch."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.clock import close_of, day_of, epoch_of
from backend.kernel.errors import Conflict
from backend.kernel.field import SCALAR_FIELD
from backend.kernel.poseidon import position_commitment
from backend.kernel.refusal import Refused
from backend.kit.pagination import MAX_LIMIT, Page, PageRequest
from backend.market.repository import lock_clock
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

    @property
    def opened_at(self) -> datetime:
        """The business time at which its chain was opened."""
        ...


class Directory(Protocol):
    """Lists the accounts whose chains are open."""

    async def page(self, session: AsyncSession, request: PageRequest) -> Page[Any]:
        """Return a page of TradingAccount."""
        ...


class Holdings(Protocol):
    """Knows what accounts hold."""

    async def at_close(self, session: AsyncSession, account_id: int, moment: datetime) -> Mapping[str, int]:
        """Return instrument -> signed quantity (1e-6) as of a moment, with all that will ever belong to it."""
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

    async def open_account_fields(self, account: TradingAccount) -> Mapping[str, str | int]:
        """Return what `account.opened` says beside its name: the wallet, the epoch and the empty portfolio."""
        salt, commitment = await self._commitment((0,) * len(self._universe))
        return {
            "subject": account.address,
            "epoch": epoch_of(self._clock.business()),
            "position_commitment": word(commitment),
            "position_salt": word(salt),
        }

    async def close(self, session: AsyncSession, epoch: int) -> Closing:
        """Record every account's `epoch.closed`, once; an account with holdings outside the universe is refused.

        An epoch that was missed is closed with what was held at its close.
        """
        # One at a time, as the opening of a day is: the order of epochs is judged by what others have closed.
        await lock_clock(session, self._clock.business())
        await self.require_closable(session, epoch)
        await repository.mark_closed(session, epoch)
        closed, refused = [], []
        async for account in self._accounts(session):
            if account.opened_at > close_of(day_of(epoch)):
                continue
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

    async def require_closable(self, session: AsyncSession, epoch: int) -> None:
        """Raise Conflict for an epoch that is not over, or that is older than one that is closed."""
        if self._clock.business() < close_of(day_of(epoch)):
            raise Conflict(f"epoch {epoch} is not over on the business clock")
        newest = await repository.newest_closing(session)
        # Epochs rise on every account's chain, and attestations build on each other in their order.
        if newest is not None and epoch < newest:
            raise Conflict(f"epoch {newest} is closed already: none before it can be closed any more")

    async def due(self, session: AsyncSession, days: Sequence[date]) -> Sequence[date]:
        """Return the trading days that the business clock has passed and that are not closed yet, oldest first.

        On the close itself a replayed day is still traded: it is passed when the next one begins.
        """
        now, newest = self._clock.business(), await repository.newest_closing(session)
        passed = [day for day in days if close_of(day) < now and (newest is None or epoch_of(day) > newest)]
        if not passed or newest is not None:
            return passed
        opened = [account.opened_at async for account in self._accounts(session)]
        return [day for day in passed if any(moment <= close_of(day) for moment in opened)]

    async def _close(self, session: AsyncSession, account: TradingAccount, epoch: int) -> ClosedEpoch | Refused:
        known = await repository.closed_epoch(session, account.pseudonym, epoch)
        if known is not None:
            return known
        moment = close_of(day_of(epoch))
        positions = position_vector(self._universe, await self._holdings.at_close(session, account.id, moment))
        if isinstance(positions, list):
            return await self._refuse(session, account, epoch, positions)
        salt, commitment = await self._commitment(positions)
        fields = {
            "subject": account.address,
            "epoch": epoch,
            "position_commitment": word(commitment),
            "position_salt": word(salt),
            "universe_id": word(self._universe_id),
        }
        recorded = await self._journal.record(
            session,
            account.pseudonym,
            "epoch.closed",
            fields,
            actor=SYSTEM_ACCOUNT,
            policy=POLICY,
            ts_event=moment,
        )
        closed = ClosedEpoch(
            account=account.pseudonym,
            subject=account.address,
            epoch=epoch,
            universe_id=self._universe_id,
            positions=positions,
            salt=salt,
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
        if await repository.keep_refusal(session, account.pseudonym, epoch, refused.reason):
            fields = {"epoch": epoch, "rule": refused.rule, "reason": refused.reason}
            await self._journal.record(
                session, account.pseudonym, "epoch.refused", fields, actor=SYSTEM_ACCOUNT, policy=POLICY
            )
        return refused

    async def _commitment(self, positions: Sequence[int]) -> tuple[int, int]:
        # Commitments are public: with a salt for all epochs, equal ones would show that nothing was traded
        salt = secrets.randbelow(SCALAR_FIELD)
        return salt, await asyncio.to_thread(position_commitment, salt, self._universe_id, positions)
