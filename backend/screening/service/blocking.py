"""What follows from a block: credentials go, and the wallet stands on the chain's own list."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.errors import NotFound, RefiError
from backend.kit.db import Database
from backend.ports.chain import Chain, Receipt
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.screening import Outcome
from backend.ports.signer import KeyRole
from backend.screening import repository
from backend.screening.engine import outcome_of
from backend.screening.service.lists import POLICY
from backend.screening.service.screening import SETTLE_JOB, judged

__all__ = ["SETTLE_JOB", "OnBlock", "OnSettled", "WalletBlocks"]

log = structlog.get_logger(__name__)

CONTRACT = "SanctionsPolicy"
UNLISTED = bytes(32)
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
# Takes what a blocked wallet must not have, e.g. its credential; NotFound where it has none.
OnBlock = Callable[[str], Awaitable[object]]
# Hears that another outcome stands under a reference.
OnSettled = Callable[[str, Outcome], Awaitable[object]]


class WalletBlocks:
    """Makes the chain say what the screenings say; doing so twice changes nothing."""

    def __init__(
        self,
        database: Database,
        chain: Chain,
        journal: Journal,
        on_block: Sequence[OnBlock] = (),
        on_settled: Sequence[OnSettled] = (),
    ) -> None:
        self._database = database
        self._chain = chain
        self._journal = journal
        self.on_block = list(on_block)
        self.on_settled = list(on_settled)
        self._alone = asyncio.Lock()

    async def settle_pending(self) -> int:
        """Carry out what is not carried out yet; what fails waits for the next time. Return how many were."""
        async with self._database.reading() as session:
            waiting = await repository.unsettled(session)
        done = 0
        for reference in waiting:
            try:
                await self.settle(reference)
                done += 1
            except RefiError as fault:
                log.warning("screening.not_settled", reference=reference, reason=fault.code)
        return done

    async def settle(self, reference: str) -> Outcome:
        """Carry out a subject's outcome: each of its wallets is listed on chain or is not; NotFound for a stranger."""
        async with self._alone:
            async with self._database.reading() as session:
                record = await repository.seen_record(session, reference)
                if record is None:
                    raise NotFound("nobody was screened under this reference")
                blocking = await self._blocking(session, reference)
                others = await self._held_by_others(session, reference)
            for wallet in sorted({*record.wallets, *record.listed}):
                if blocking and ADDRESS.fullmatch(wallet):
                    await self._block(reference, wallet, blocking[0], known=wallet in record.listed)
                elif wallet in record.listed and wallet not in others:
                    await self._release(reference, wallet)
            outcome = Outcome(record.outcome)
            for hear in self.on_settled:
                await hear(reference, outcome)
            async with self._database.transaction() as session:
                now = await repository.record_of(session, reference)
                if now is not None and (now.outcome, now.screened_at) == (record.outcome, record.screened_at):
                    now.unsettled = False
        return outcome

    async def _blocking(self, session: AsyncSession, reference: str) -> Sequence[str]:
        hits = await repository.hits_of(session, reference)
        return [hit.list_version for hit in hits if outcome_of(judged([hit])) is Outcome.BLOCKED]

    async def _held_by_others(self, session: AsyncSession, reference: str) -> set[str]:
        blocked = await repository.blocked_records(session)
        return {wallet for record in blocked if record.reference != reference for wallet in record.wallets}

    async def _block(self, reference: str, wallet: str, version: str, *, known: bool) -> None:
        try:
            await self._list(reference, wallet, version, known=known)
        finally:
            # Whichever of the two fails, the other is done.
            for take in self.on_block:
                with suppress(NotFound):
                    await take(wallet)

    async def _list(self, reference: str, wallet: str, version: str, *, known: bool) -> None:
        if await self._listed(wallet) == UNLISTED:
            receipt = await self._chain.send(KeyRole.ISSUER, CONTRACT, "list", wallet, bytes.fromhex(version))
            await self._record(reference, wallet, version, receipt, listed=True)
        elif not known:
            # It went through and the answer was lost, or somebody else was first.
            await self._record(reference, wallet, version, None, listed=True)

    async def _release(self, reference: str, wallet: str) -> None:
        listed, receipt = await self._listed(wallet), None
        if listed != UNLISTED:
            receipt = await self._chain.send(KeyRole.ISSUER, CONTRACT, "unlist", wallet)
        await self._record(reference, wallet, listed.hex(), receipt, listed=False)
        async with self._database.transaction() as session:
            # Somebody else was blocked meanwhile, and took the listing that is gone now for theirs.
            for record in await repository.blocked_records(session):
                if record.reference != reference and wallet in record.wallets:
                    record.unsettled = True

    async def _listed(self, wallet: str) -> bytes:
        return bytes(await self._chain.call(CONTRACT, "listedOf", wallet))

    async def _record(
        self, reference: str, wallet: str, version: str, receipt: Receipt | None, *, listed: bool
    ) -> None:
        fields = {
            "reference": reference,
            "subject": wallet,
            "list_version": version,
            "tx_hash": receipt.tx_hash if receipt else "",
            "block_number": receipt.block_number if receipt else 0,
        }
        event = "screening.wallet_listed" if listed else "screening.wallet_unlisted"
        async with self._database.transaction() as session:
            record = await repository.record_of(session, reference)
            if record is not None:
                kept = {*record.listed, wallet} if listed else {*record.listed} - {wallet}
                record.listed = sorted(kept)
            await self._journal.record(session, SYSTEM_ACCOUNT, event, fields, actor=SYSTEM_ACCOUNT, policy=POLICY)
