"""A desk for tests of what leaves the platform: a log with two accounts' trades, a chain, and whoever hands it out."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from backend.accounts.types import Caller, Role
from backend.anchoring.service import AnchorService
from backend.audit.models import RecordRow
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.audit.service.erasure import ErasureService, Forget
from backend.kernel.canonical import JsonValue, canonical_json, encode_bytes
from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.transparency.engine.verifier import Report, verify
from backend.transparency.service import AccountExports, PackBuilder
from backend.transparency.types import Pack, PackParts
from tests.fakes import FakeChain, FakeClock, FakeSigner

RETENTION = timedelta(days=1_827)
ORIGIN = "refi.trading/test"
TRADER = encode_bytes(b"\x01" * 32)
OTHER = encode_bytes(b"\x02" * 32)
WALLET, OTHER_WALLET = "0x" + "ab" * 20, "0x" + "cd" * 20
WORD = "0x" + "01" * 32
LOG_CHECKS = (
    "format",
    "log identity",
    "commitment",
    "leaf",
    "inclusion",
    "checkpoint signature",
    "consistency",
)
FULL_CHECKS = (*LOG_CHECKS, "disclosed fields", "account chain", "heads")


class FakeParts:
    """Knows a part for every record that could have one."""

    async def model(self, session: Any, fields: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
        """Return a model for orders."""
        del session
        return {"sha256": "0" * 64} if fields["event"].startswith("order.") else None

    async def compliance(self, session: Any, fields: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
        """Return no receipt."""
        del session, fields
        return None

    async def var(self, session: Any, fields: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
        """Return an attestation for every closed epoch."""
        del session
        shared = ("subject", "epoch", "position_commitment")
        return {name: fields[name] for name in shared} | {"anchor_index": 0}


class Wallets:
    """Knows the trader's wallet."""

    async def find(self, session: Any, *, address: str) -> Caller:
        """Return the trader."""
        del session
        if address.lower() != WALLET:
            raise NotFound("no such account")
        return caller(TRADER)


class Desk:
    """A log with two accounts' trades, a chain, and the builder of packs."""

    def __init__(self, database: Database, parts: PackParts) -> None:
        self.database = database
        self.clock, self.signer = FakeClock(), FakeSigner()
        self.chain = FakeChain(self.signer)
        self.key = self.signer.log_public_key()
        self.chain.register_log(ORIGIN, self.key)
        self.journal, self.reader = AuditJournal(self.clock), LogReader()
        self.anchoring = AnchorService(
            database,
            self.chain,
            self.reader,
            self.journal,
            self.clock,
            origin=ORIGIN,
            public_key=self.key,
            chain_id=self.chain.id,
        )
        self.packs = self.builder(parts)

    def builder(self, parts: PackParts) -> PackBuilder:
        """Return a builder that knows these parts."""
        return PackBuilder(
            self.database, self.reader, self.anchoring, self.journal, parts, origin=ORIGIN, public_key=self.key
        )

    def exports(
        self, page_bytes: int = 2**23, page_heads: int = 20_000, reader: LogReader | None = None
    ) -> AccountExports:
        """Return who exports accounts; it knows the trader's wallet."""
        return AccountExports(
            self.database, reader or self.reader, self.anchoring, self.journal, Wallets(),
            origin=ORIGIN, public_key=self.key, page_bytes=page_bytes, page_heads=page_heads,
        )  # fmt: skip

    def erasures(self, forget: Sequence[Forget] = (), at_most: int = 5_000) -> ErasureService:
        """Return who erases, with five years of retention."""
        return ErasureService(
            self.database, self.journal, self.clock, retention=RETENTION, forget=forget, at_most=at_most
        )

    async def log(self, account: str, event: str, **fields: JsonValue) -> None:
        """Record an event and integrate it."""
        async with self.database.transaction() as session:
            await self.journal.record(session, account, event, fields, actor="trader", policy="1")
        await Sequencer(self.database, self.signer, self.clock, ORIGIN).integrate()

    def check(self, pack: Pack) -> Report:
        """Let the verifier check a pack, naming the contract."""
        return verify(canonical_json(pack), contract=self.anchoring.contract, chain_id=self.chain.id)

    async def disclosures(self) -> list[Mapping[str, Any]]:
        """Return what was logged about disclosures."""
        async with self.database.reading() as session:
            query = select(RecordRow.fields).where(RecordRow.event == "evidence.disclosed")
            return [json.loads(text) for text in await session.scalars(query)]


def caller(pseudonym: str, *roles: Role) -> Caller:
    return Caller(1, WALLET if pseudonym == TRADER else OTHER_WALLET, pseudonym, frozenset(roles))


def results(report: Report) -> dict[str, str]:
    return {check.name: check.result for check in report.checks}


def passed(report: Report) -> set[str]:
    return {name for name, result in results(report).items() if result == "pass"}
