"""Identities and credentials on chain: given, renewed and taken, every act recorded."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.types import CredentialType, IssuedCredential
from backend.kernel.errors import Conflict, Invalid, NotFound
from backend.kernel.keccak import keccak256
from backend.kit.db import Database
from backend.ports.chain import Chain, Receipt, Reverted
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.signer import KeyRole

POLICY = "compliance:1"
NO_IDENTITY = bytes(32)
# What follows a credential that is on chain, by wallet; safe to repeat.
Placed = Callable[[str], Awaitable[object]]
# Whether a list in force names a wallet.
Blocked = Callable[[str], Awaitable[bool]]


class CredentialService:
    """Gives wallets an identity and credentials on chain, and takes them; every act is recorded."""

    def __init__(
        self, chain: Chain, journal: Journal, placed: Placed | None = None, blocked: Blocked | None = None
    ) -> None:
        self._chain = chain
        self._journal = journal
        self._placed = placed
        self._blocked = blocked

    async def issue(
        self, database: Database, address: str, kind: CredentialType, expires_at: datetime | None, *, actor: str
    ) -> IssuedCredential:
        """Give a wallet a credential until a moment (None: for ever); one that it has is renewed.

        The record follows in a transaction of its own: none is open while the chain is asked. Conflict for a wallet
        that stands on a list in force.
        """
        if self._blocked is not None and await self._blocked(address.lower()):
            raise Conflict("this wallet stands on a list in force: it gets no credential")
        issued = await self.place(address, kind, expires_at)
        async with database.transaction() as session:
            await self.record_issued(session, issued, actor=actor)
        return issued

    async def revoke(self, database: Database, address: str, kind: CredentialType, *, actor: str) -> IssuedCredential:
        """Take a credential from a wallet; NotFound when it has none."""
        revoked = await self.take(address, kind)
        async with database.transaction() as session:
            await self.record_revoked(session, revoked, actor=actor)
        return revoked

    async def place(
        self, address: str, kind: CredentialType, expires_at: datetime | None, *, data: bytes = b"", ccid: bytes = b""
    ) -> IssuedCredential:
        """Put a credential on chain without a record; safe to repeat when it is not known what became of it.

        data is a hash and stays what it was when the credential is renewed; ccid is the identity of a wallet that has
        none yet (a random one unless given).
        """
        wallet = address.lower()
        identity = await self.identify(wallet, ccid)
        until = 0 if expires_at is None else int(expires_at.timestamp())
        receipt = await self._register(identity, kind, until, data)
        if self._placed is not None:
            await self._placed(wallet)
        return IssuedCredential(wallet, kind, "0x" + identity.hex(), expires_at, receipt.tx_hash, receipt.block_number)

    async def take(self, address: str, kind: CredentialType) -> IssuedCredential:
        """Take a credential off the chain without a record; NotFound when the wallet has none."""
        wallet = address.lower()
        ccid = await self.identity_of(wallet)
        if ccid == NO_IDENTITY:
            raise NotFound("this wallet has no identity")
        try:
            receipt = await self._chain.send(
                KeyRole.ISSUER, "CredentialRegistry", "removeCredential", ccid, type_id(kind), b""
            )
        except Reverted as error:
            if error.name != "CredentialNotFound":
                raise
            raise NotFound(f"this wallet has no {kind}") from error
        return IssuedCredential(wallet, kind, "0x" + ccid.hex(), None, receipt.tx_hash, receipt.block_number)

    async def record_issued(self, session: AsyncSession, issued: IssuedCredential, *, actor: str) -> None:
        """Record a credential that was put on chain."""
        until = "" if issued.expires_at is None else issued.expires_at.isoformat()
        await self._record(session, "credential.issued", issued, {"expires_at": until}, actor)

    async def record_revoked(self, session: AsyncSession, revoked: IssuedCredential, *, actor: str) -> None:
        """Record a credential that was taken."""
        await self._record(session, "credential.revoked", revoked, {}, actor)

    async def identity_of(self, address: str) -> bytes:
        """Return a wallet's identity on chain, zeros for none."""
        return bytes(await self._chain.call("IdentityRegistry", "getIdentity", address.lower()))

    async def identify(self, address: str, ccid: bytes = b"") -> bytes:
        """Return a wallet's identity, after giving it one (random unless named) where it has none."""
        wallet = address.lower()
        known = await self.identity_of(wallet)
        if known != NO_IDENTITY:
            return known
        # Random, so that the number says nothing about the person.
        ccid = ccid or secrets.token_bytes(32)
        try:
            await self._chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, wallet, b"")
        except Reverted as error:
            # An earlier try of ours was mined after all.
            if error.name != "IdentityAlreadyRegistered":
                raise
            return await self.identity_of(wallet)
        return ccid

    async def join(self, address: str, ccid: bytes) -> bytes:
        """Give a wallet an identity that holds credentials already; return the one that it has, perhaps another."""
        known = await self.identify(address, ccid)
        if known == ccid and self._placed is not None:
            await self._placed(address.lower())
        return known

    async def unidentify(self, address: str, ccid: bytes) -> None:
        """Take an identity from a wallet; one that it does not have is none to take."""
        try:
            await self._chain.send(KeyRole.ISSUER, "IdentityRegistry", "removeIdentity", ccid, address.lower(), b"")
        except Reverted as error:
            if error.name != "IdentityNotFound":
                raise

    async def _register(self, ccid: bytes, kind: CredentialType, expires_at: int, data: bytes) -> Receipt:
        if expires_at >= 2**40:
            raise Invalid("the credential's end is too far away")
        try:
            return await self._chain.send(
                KeyRole.ISSUER, "CredentialRegistry", "registerCredential", ccid, type_id(kind), expires_at, data, b""
            )
        except Reverted as error:
            if error.name != "CredentialAlreadyRegistered":
                raise
        return await self._chain.send(
            KeyRole.ISSUER, "CredentialRegistry", "renewCredential", ccid, type_id(kind), expires_at, b""
        )

    async def _record(
        self, session: AsyncSession, event: str, credential: IssuedCredential, more: Mapping[str, str], actor: str
    ) -> None:
        fields = {
            "subject": credential.address,
            "type": credential.type.value,
            "ccid": credential.ccid,
            "tx_hash": credential.tx_hash,
            "block_number": credential.block_number,
            **more,
        }
        await self._journal.record(session, SYSTEM_ACCOUNT, event, fields, actor=actor, policy=POLICY)


def type_id(kind: CredentialType) -> bytes:
    """Return a credential type's on-chain id: keccak256 of its name."""
    return keccak256(kind.value.encode())
