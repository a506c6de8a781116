"""Caps on chain that rise with an account's age: opened with its first credential, the last after a review."""

from datetime import UTC, datetime

import structlog

from backend.compliance.types import CapOnChain
from backend.kernel.errors import NotFound
from backend.ports.chain import Chain, Reverted
from backend.ports.signer import KeyRole

log = structlog.get_logger(__name__)

CONTRACT = "ProgressiveCapPolicy"
NO_REVIEW = bytes(32)


class CapService:
    """Opens accounts and records reviews where a deployment has caps on chain; elsewhere it does nothing."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    @property
    def is_deployed(self) -> bool:
        """Whether this deployment bounds orders by age on chain."""
        try:
            self._chain.address(CONTRACT)
        except NotFound:
            return False
        return True

    async def open(self, address: str) -> bool:
        """Start the count of an account's days; False where it counts already, or nothing counts."""
        wallet = address.lower()
        if not self.is_deployed or int(await self._chain.call(CONTRACT, "openedAt", wallet)):
            return False
        try:
            await self._chain.send(KeyRole.ISSUER, CONTRACT, "open", wallet)
        except Reverted as error:
            # Another process was faster, or an answer of ours was lost.
            if error.name != "AlreadyOpened":
                raise
            return False
        log.info("cap.opened", account=wallet)
        return True

    async def record_review(self, address: str, commitment: bytes) -> bool:
        """Record a review by its record's commitment; False where no cap waits for one."""
        wallet = address.lower()
        if not self.is_deployed:
            return False
        try:
            await self._chain.send(KeyRole.OPERATOR, CONTRACT, "recordReview", wallet, commitment)
        except Reverted as error:
            if error.name != "NotOpened":
                raise
            # Reviewed before its first credential: it is to be reviewed again once it has one.
            log.warning("cap.not_opened", account=wallet)
            return False
        return True

    async def cap_of(self, address: str) -> CapOnChain | None:
        """Return what bounds an account's next order, None where nothing does."""
        wallet = address.lower()
        if not self.is_deployed:
            return None
        cap = int(await self._chain.call(CONTRACT, "capOf", wallet))
        opened = int(await self._chain.call(CONTRACT, "openedAt", wallet))
        review = bytes(await self._chain.call(CONTRACT, "reviewOf", wallet))
        return CapOnChain(
            cap,
            datetime.fromtimestamp(opened, UTC) if opened else None,
            "" if review == NO_REVIEW else "0x" + review.hex(),
        )
