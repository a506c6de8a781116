"""Screening over real lists in files, with a chain and a log in memory."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from backend.accounts.models import Account
from backend.accounts.types import Caller, Role
from backend.adapters.screening.list_files import ListFiles
from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.kit.pagination import PageRequest
from backend.ports.screening import ListFormat, ScreeningSubject, SubjectKind
from backend.screening.engine import Fingerprints
from backend.screening.service import (
    AccountWallets,
    ScreeningLists,
    ScreeningReviews,
    ScreeningService,
    ScreeningSweep,
    WalletBlocks,
)
from backend.screening.types import Decision, Hit, HitState, ListUpdate
from tests.fakes import FakeChain, FakeClock, FakeJournal

WALLET = "0x" + "ab" * 20
CLEAN = "0x" + "cd" * 20
REVIEWER = Caller(9, "0x" + "99" * 20, "reviewer", frozenset({Role.OPERATOR}))
Entity = Mapping[str, Any]
FINGERPRINTS = Fingerprints([b"f" * 32])


def entity(entry: str, name: str = "", *, topic: str = "sanction", wallet: str = "", birth: str = "") -> Entity:
    """Return a listed person."""
    properties: dict[str, Any] = {"topics": [topic]}
    if name:
        properties["name"] = [name]
    if birth:
        properties["birthDate"] = [birth]
    if wallet:
        properties["cryptoWallets"] = [{"id": "w", "schema": "CryptoWallet", "properties": {"publicKey": [wallet]}}]
    return {"id": entry, "schema": "Person", "properties": properties}


def person(name: str, *wallets: str, birth: date | None = None) -> ScreeningSubject:
    """Return a person to screen."""
    return ScreeningSubject(SubjectKind.PERSON, (name,) if name else (), birth, "", wallets)


OSKAR = entity("oskar", "Oskar Drenovic")
THIEF = entity("thief", "Tamriko Velshvili", wallet=WALLET)
OFFICE = entity("office", "Mirela Ostrovan", topic="role.pep")


class OnChainList:
    """SanctionsPolicy in memory."""

    def __init__(self, chain: FakeChain) -> None:
        self.listed: dict[str, bytes] = {}
        chain.answer("SanctionsPolicy", "listedOf", lambda wallet: self.listed.get(wallet, bytes(32)))
        chain.answer("SanctionsPolicy", "list", self.listed.__setitem__)
        chain.answer("SanctionsPolicy", "unlist", self.listed.pop)


class Room:
    """Everything of screening."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.clock, self.journal, self.chain = FakeClock(), FakeJournal(), FakeChain()
        self.on_chain = OnChainList(self.chain)
        self.revoked: list[str] = []
        self.settled: list[tuple[str, str]] = []
        self.adapter = ListFiles(folder / "kept")
        self.lists = ScreeningLists(database, self.adapter, self.journal, self.clock, timedelta(days=7))
        self.screening = ScreeningService(database, self.adapter, self.lists, self.journal, self.clock, FINGERPRINTS)
        self.reviews = ScreeningReviews(self.journal, self.clock)
        self.blocks = WalletBlocks(database, self.chain, self.journal, [self._revoke], [self._hear])
        self.sweep = ScreeningSweep(database, self.lists, self.screening, [AccountWallets()], self.blocks, self.clock)

    async def _revoke(self, wallet: str) -> None:
        if wallet in self.revoked:
            raise NotFound("it has none")
        self.revoked.append(wallet)

    async def _hear(self, reference: str, outcome: str) -> None:
        self.settled.append((reference, str(outcome)))

    def file(self, *entities: Entity) -> Path:
        """Write a list file."""
        path = self.folder / "list.json"
        path.write_text("".join(json.dumps(one) + "\n" for one in entities))
        return path

    async def load(self, *entities: Entity, force: bool = False, name: str = "") -> ListUpdate:
        """Put a list in force."""
        return await self.lists.update(
            self.file(*entities), ListFormat.OPENSANCTIONS_JSON, name=name, force=force, actor="operator:test"
        )

    async def hits(self, state: HitState | None = HitState.OPEN) -> list[Hit]:
        """Return hits, newest first."""
        async with self.database.reading() as session:
            return list((await self.reviews.page(session, state, PageRequest())).items)

    async def resolve(self, decision: Decision, caller: Caller | None = REVIEWER, hit: int | None = None) -> Hit:
        """Decide on the newest open hit."""
        number = hit if hit is not None else (await self.hits())[0].id
        async with self.database.transaction() as session:
            return await self.reviews.resolve(
                session, number, decision, "looked at the papers", caller=caller, actor="reviewer"
            )

    async def open_account(self, number: int, wallet: str) -> None:
        """Let a wallet have signed in."""
        async with self.database.transaction() as session:
            opened = datetime(2026, 1, 1, tzinfo=UTC)
            session.add(Account(id=number, address=wallet, pseudonym=f"p{number:05}", opened_at=opened, roles=[]))
