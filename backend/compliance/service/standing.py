"""Where a wallet stands with the rules on chain, and where the watching of them stands."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.repository import volumes
from backend.compliance.repository.rules import rules_seen
from backend.compliance.service.caps import CapService
from backend.compliance.service.credentials import NO_IDENTITY, type_id
from backend.compliance.types import CredentialType, HeldCredential, Standing, VolumeOnChain, Watching
from backend.kernel.errors import NotFound
from backend.ports.chain import Chain, Reverted
from backend.ports.clock import Clock

VOLUMES, SANCTIONS, GATE = "SlidingVolumePolicy", "SanctionsPolicy", "OrderGate"
NOT_LISTED = bytes(32)


class StandingService:
    """Reads; changes nothing."""

    def __init__(self, chain: Chain, caps: CapService, clock: Clock) -> None:
        self._chain = chain
        self._caps = caps
        self._clock = clock

    async def of(self, session: AsyncSession, address: str, account_id: int | None = None) -> Standing:
        """Return where a wallet stands; what is not settled yet is known of the platform's accounts only."""
        wallet = address.lower()
        ccid = bytes(await self._chain.call("IdentityRegistry", "getIdentity", wallet))
        credentials, cap, volume, sanctions = await asyncio.gather(
            self._credentials(ccid), self._caps.cap_of(wallet), self._volume(wallet), self._sanctions(wallet)
        )
        if volume is not None and account_id is not None:
            volume = await self._with_unsettled(session, volume, wallet, account_id)
        known = "" if ccid == NO_IDENTITY else "0x" + ccid.hex()
        return Standing(wallet, known, credentials, cap, volume, sanctions, await self.watching(session))

    async def watching(self, session: AsyncSession, *, ask_chain: bool = False) -> Watching:
        """Return where the watching stands; the lag only where the chain is to be asked."""
        seen = await rules_seen(session)
        age = None if seen.seen_at is None else self._clock.wall() - seen.seen_at
        lag = (await self._chain.block()).number - seen.block_number if ask_chain else None
        return Watching(seen.version, seen.block_number, seen.seen_at, age, lag)

    async def _credentials(self, ccid: bytes) -> tuple[HeldCredential, ...]:
        if ccid == NO_IDENTITY:
            return ()
        now = (await self._chain.block()).timestamp
        found = await asyncio.gather(*(self._credential(ccid, kind, now) for kind in CredentialType))
        return tuple(credential for credential in found if credential is not None)

    async def _credential(self, ccid: bytes, kind: CredentialType, now: int) -> HeldCredential | None:
        try:
            until = int((await self._chain.call("CredentialRegistry", "getCredential", ccid, type_id(kind)))[0])
        except Reverted:
            return None
        # The registry's own rule: a credential ends with its last second, 0 never ends.
        return HeldCredential(kind, datetime.fromtimestamp(until, UTC) if until else None, 0 < until <= now)

    async def _volume(self, wallet: str) -> VolumeOnChain | None:
        try:
            recorded = int(await self._chain.call(VOLUMES, "volumeOf", wallet))
            limit, window = [int(await self._chain.call(VOLUMES, name)) for name in ("getLimit", "getWindow")]
        except NotFound:
            return None
        return VolumeOnChain(recorded, 0, limit, timedelta(seconds=window))

    async def _with_unsettled(
        self, session: AsyncSession, volume: VolumeOnChain, wallet: str, account_id: int
    ) -> VolumeOnChain:
        traded = await volumes.cumulative_of(session, account_id)
        settled = int(await self._chain.call(GATE, "settledOf", wallet))
        return VolumeOnChain(volume.recorded, max(0, traded - settled), volume.limit, volume.window)

    async def _sanctions(self, wallet: str) -> str | None:
        try:
            listed = bytes(await self._chain.call(SANCTIONS, "listedOf", wallet))
        except NotFound:
            return None
        return "" if listed == NOT_LISTED else "0x" + listed.hex()
