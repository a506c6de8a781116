"""What follows from a block: credentials go, and the wallet stands on the chain's own list."""

import re
from collections.abc import Awaitable, Callable, Sequence

from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.ports.chain import Chain
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.screening import Outcome
from backend.ports.signer import KeyRole
from backend.screening import repository
from backend.screening.engine import outcome_of
from backend.screening.service.lists import POLICY
from backend.screening.service.screening import SETTLE_JOB, judged

__all__ = ["SETTLE_JOB", "OnBlock", "OnSettled", "WalletBlocks"]

POLICY_CONTRACT = "SanctionsPolicy"
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

    async def settle(self, reference: str) -> Outcome:
        """Carry out a subject's outcome: each of its wallets is listed on chain or is not; NotFound for a stranger."""
        async with self._database.reading() as session:
            record = await repository.seen_record(session, reference)
            if record is None:
                raise NotFound("nobody was screened under this reference")
            outcome, wallets = Outcome(record.outcome), list(record.wallets)
            hits = await repository.hits_of(session, reference)
            ours = {bytes.fromhex(hit.list_version) for hit in hits}
            blocking = [hit.list_version for hit in hits if outcome_of(judged([hit])) is Outcome.BLOCKED]
            others = {
                wallet
                for blocked in await repository.blocked_records(session)
                if blocked.reference != reference
                for wallet in blocked.wallets
            }
        for wallet in filter(ADDRESS.fullmatch, wallets):
            if blocking:
                await self._block(reference, wallet, blocking[0])
            elif wallet not in others:
                await self._release(reference, wallet, ours)
        for hear in self.on_settled:
            await hear(reference, outcome)
        return outcome

    async def _block(self, reference: str, wallet: str, version: str) -> None:
        for take in self.on_block:
            try:
                await take(wallet)
            except NotFound:
                continue
        if await self._listed(wallet) == UNLISTED:
            await self._send(reference, wallet, "list", version)

    async def _release(self, reference: str, wallet: str, ours: set[bytes]) -> None:
        # What somebody else put there stays.
        if (listed := await self._listed(wallet)) in ours:
            await self._send(reference, wallet, "unlist", listed.hex())

    async def _listed(self, wallet: str) -> bytes:
        return bytes(await self._chain.call(POLICY_CONTRACT, "listedOf", wallet))

    async def _send(self, reference: str, wallet: str, function: str, version: str) -> None:
        arguments = (wallet, bytes.fromhex(version)) if function == "list" else (wallet,)
        receipt = await self._chain.send(KeyRole.ISSUER, POLICY_CONTRACT, function, *arguments)
        fields = {
            "reference": reference,
            "subject": wallet,
            "list_version": version,
            "tx_hash": receipt.tx_hash,
            "block_number": receipt.block_number,
        }
        async with self._database.transaction() as session:
            await self._journal.record(
                session, SYSTEM_ACCOUNT, f"screening.wallet_{function}ed", fields, actor=SYSTEM_ACCOUNT, policy=POLICY
            )
