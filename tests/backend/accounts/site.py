"""A small deployment for tests of sign-in: an app on a database, wallets, and a clock that is moved by hand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account as Wallets
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.models import Account
from backend.accounts.service import Accounts, access_tokens
from backend.api.app import create_app
from backend.api.routes import ROUTERS
from backend.kit.db import Database
from backend.kit.limits import Limiter, MemoryLimiter
from backend.kit.queue import JobBoard
from backend.settings import Settings
from tests.fakes import FakeClock, FakeJournal

ORIGIN = "http://127.0.0.1:8000"


def wallet(name: str) -> LocalAccount:
    """Return a wallet made from a name."""
    made: LocalAccount = Wallets.from_key(name.encode().rjust(32, b"\1"))
    return made


async def zero_position(_session: AsyncSession, account: Account) -> Mapping[str, Any]:
    """Return what account.opened holds beside the usual."""
    return {"subject": account.address, "epoch": 16953, "position_commitment": "0x00", "position_salt": "0x00"}


@dataclass(slots=True)
class Site:
    """The deployment and what a test may turn."""

    database: Database
    settings: Settings
    clock: FakeClock = field(default_factory=FakeClock)
    journal: FakeJournal = field(default_factory=FakeJournal)
    limiter: Limiter = field(default_factory=MemoryLimiter)
    routers: Sequence[APIRouter] = ROUTERS
    services: dict[type, object] = field(default_factory=dict)
    app: Any = None

    def __post_init__(self) -> None:
        """Wire the services as bootstrap does."""
        tokens = access_tokens(self.settings)
        accounts = Accounts(self.settings, self.clock, self.journal, self.limiter, tokens, zero_position)
        self.services = {
            Settings: self.settings,
            Database: self.database,
            Accounts: accounts,
            JobBoard: JobBoard(),
            **self.services,
        }
        self.app = create_app(self.services, routers=self.routers)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx.AsyncClient]:
        """Yield a client with cookies of its own."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            yield client

    async def message(self, client: httpx.AsyncClient, signer: LocalAccount, **changes: Any) -> str:
        """Ask for a nonce and write the message that the wallet would sign."""
        answer = await client.post("/api/v1/auth/nonce")
        answer.raise_for_status()
        return siwe_text(answer.json(), self.clock.wall(), **({"address": signer.address} | changes))

    async def sign_in(self, client: httpx.AsyncClient, signer: LocalAccount) -> httpx.Response:
        """Sign in and let the client carry the access token."""
        text = await self.message(client, signer)
        answer = await client.post("/api/v1/auth/login", json={"message": text, "signature": sign(signer, text)})
        if answer.is_success:
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer


def siwe_text(asked: Mapping[str, Any], now: datetime, **changes: Any) -> str:
    """Return an EIP-4361 message; a change replaces a field, None leaves it out."""
    fields: dict[str, Any] = {
        "domain": asked["domain"],
        "statement": asked["statement"],
        "uri": asked["uri"],
        "version": "1",
        "chain_id": asked["chain_id"],
        "nonce": asked["nonce"],
        "issued_at": stamp(now),
        "expiration_time": stamp(now + timedelta(minutes=5)),
        "not_before": None,
        "resources": None,
    } | changes
    lines = [
        f"{fields['domain']} wants you to sign in with your Ethereum account:",
        fields["address"],
        "",
        fields["statement"],
        "",
        f"URI: {fields['uri']}",
        f"Version: {fields['version']}",
        f"Chain ID: {fields['chain_id']}",
        f"Nonce: {fields['nonce']}",
        f"Issued At: {fields['issued_at']}",
    ]
    if fields["expiration_time"] is not None:
        lines.append(f"Expiration Time: {fields['expiration_time']}")
    if fields["not_before"] is not None:
        lines.append(f"Not Before: {fields['not_before']}")
    if fields["resources"] is not None:
        lines += ["Resources:", *(f"- {resource}" for resource in fields["resources"])]
    return "\n".join(lines)


def stamp(moment: datetime) -> str:
    """Return a moment as wallets write it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sign(signer: LocalAccount, text: str) -> str:
    """Return the wallet's signature of a text."""
    return "0x" + bytes(signer.sign_message(encode_defunct(text=text)).signature).hex()


def local_settings(folder: Path, **changes: Any) -> Settings:
    """Return settings that no environment file reaches."""
    values: dict[str, Any] = {"state_dir": folder, "login_attempts_per_minute": 1000} | changes
    return Settings(_env_file=None, **values)
