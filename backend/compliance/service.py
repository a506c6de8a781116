"""The gate in front of risk: the DAO's models only, and only what the on-chain rules allow."""

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.compliance import repository
from backend.compliance.engine import receipt_of, sealed
from backend.compliance.types import ClearedDecision, CredentialType, IssuedCredential
from backend.decisions.types import Decision
from backend.kernel.canonical import decimal_string
from backend.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from backend.kernel.fixed import NOTIONAL_DECIMALS, round_down
from backend.kernel.keccak import keccak256
from backend.kernel.refusal import Refused
from backend.ports.chain import Chain, Receipt, Reverted
from backend.ports.governance import Governance, ModelState
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.policy import OrderCheck, Policy, Verdict
from backend.ports.signer import KeyRole

log = structlog.get_logger(__name__)

POLICY = "compliance:1"
SILENCE = (Unavailable, NotFound, Conflict)
NO_IDENTITY = bytes(32)


class ComplianceGate:
    """Clears decisions; a part that does not answer keeps the gate closed."""

    def __init__(self, policy: Policy, governance: Governance, price: Callable[[str], Decimal | None]) -> None:
        self._policy = policy
        self._governance = governance
        self._price = price

    async def clear(self, session: AsyncSession, decision: Decision, account: Caller) -> ClearedDecision | Refused:
        """Ask whether the account may do this; the verdict is kept whatever it says."""
        price = self._price(decision.instrument)
        if price is None:
            return Refused("compliance", "no_price", f"{decision.instrument} has no price yet")
        notional = round_down(decision.quantity * price, NOTIONAL_DECIMALS)
        known = {"notional": decimal_string(notional)}
        asked = OrderCheck(account.address, decision.instrument, notional, decision.model_sha256)
        try:
            state = await self._model_state(decision)
            verdict = None if state is not None else await self._policy.check(asked)
        except SILENCE as error:
            log.warning("compliance.unavailable", error=str(error))
            return Refused("compliance", "policy_unavailable", "the on-chain rules do not answer", known)
        if verdict is None:
            return Refused("compliance", "model_not_in_production", f"the model is in state {state}", known)
        receipt_sha256, text = sealed(receipt_of(verdict))
        receipt_id = await repository.add_receipt(session, receipt_sha256, text)
        if not verdict.allowed:
            return _refusal(verdict, known | {"policy": verdict.policy, "compliance_receipt": receipt_sha256})
        return ClearedDecision(
            decision, account.account_id, account.address, price, notional, receipt_id, receipt_sha256
        )

    async def rules(self) -> str:
        """Return what identifies the rules in force, for the record."""
        try:
            return await self._policy.version()
        except SILENCE:
            return "policy-engine:unavailable"

    async def receipt(self, session: AsyncSession, sha256: str) -> Mapping[str, Any]:
        """Return a kept verdict by its hash; raise NotFound."""
        text = await repository.receipt_json(session, sha256)
        if text is None:
            raise NotFound("no such compliance receipt")
        found: Mapping[str, Any] = json.loads(text)
        return found

    async def _model_state(self, decision: Decision) -> str | None:
        """Return the state of a model that may not trade; None for one that may, and for a person."""
        if decision.model_sha256 is None:
            return None
        state = await self._governance.model_state(decision.model_sha256)
        return None if state is ModelState.PRODUCTION else state.name.lower()


def _refusal(verdict: Verdict, detail: Mapping[str, str]) -> Refused:
    return Refused("compliance", verdict.policy or "policy_engine", verdict.reason or "refused", detail)


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
