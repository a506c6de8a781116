"""Identities and credentials on chain: given, renewed and taken, every act recorded."""

import secrets
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.types import CredentialType, IssuedCredential
from backend.kernel.errors import Invalid, NotFound
from backend.kernel.keccak import keccak256
from backend.ports.chain import Chain, Receipt, Reverted
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.signer import KeyRole

POLICY = "compliance:1"
NO_IDENTITY = bytes(32)


class CredentialService:
    """Gives wallets an identity and credentials on chain, and takes them; every act is recorded."""

    def __init__(self, chain: Chain, journal: Journal) -> None:
        self._chain = chain
        self._journal = journal

    async def issue(
        self, session: AsyncSession, address: str, kind: CredentialType, expires_at: datetime | None, *, actor: str
    ) -> IssuedCredential:
        """Give a wallet a credential until a moment (None: for ever); one that it has is renewed."""
        wallet = address.lower()
        ccid = await self._identity(wallet)
        receipt = await self._register(ccid, kind, 0 if expires_at is None else int(expires_at.timestamp()))
        issued = IssuedCredential(wallet, kind, "0x" + ccid.hex(), expires_at, receipt.tx_hash, receipt.block_number)
        until = "" if expires_at is None else expires_at.isoformat()
        await self._record(session, "credential.issued", issued, {"expires_at": until}, actor)
        return issued

    async def revoke(
        self, session: AsyncSession, address: str, kind: CredentialType, *, actor: str
    ) -> IssuedCredential:
        """Take a credential from a wallet; NotFound when it has none."""
        wallet = address.lower()
        ccid = bytes(await self._chain.call("IdentityRegistry", "getIdentity", wallet))
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
        revoked = IssuedCredential(wallet, kind, "0x" + ccid.hex(), None, receipt.tx_hash, receipt.block_number)
        await self._record(session, "credential.revoked", revoked, {}, actor)
        return revoked

    async def _identity(self, wallet: str) -> bytes:
        ccid = bytes(await self._chain.call("IdentityRegistry", "getIdentity", wallet))
        if ccid == NO_IDENTITY:
            # Random, so that the number says nothing about the person.
            ccid = secrets.token_bytes(32)
            await self._chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, wallet, b"")
        return ccid

    async def _register(self, ccid: bytes, kind: CredentialType, expires_at: int) -> Receipt:
        if expires_at >= 2**40:
            raise Invalid("the credential's end is too far away")
        try:
            return await self._chain.send(
                KeyRole.ISSUER, "CredentialRegistry", "registerCredential", ccid, type_id(kind), expires_at, b"", b""
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
