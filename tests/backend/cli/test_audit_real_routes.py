"""The witness and the audits against the platform's own routes, over a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import APIRouter, FastAPI

from backend.accounts.endpoints import signed_in
from backend.accounts.types import Caller, Role
from backend.anchoring import endpoints as anchoring
from backend.anchoring.service import AnchorService
from backend.audit import endpoints as audit
from backend.audit.service import LogReader
from backend.cli.audit import completeness
from backend.cli.audit.access import Names
from backend.cli.audit.export import Export, copy_records
from backend.cli.audit.log import audit_log
from backend.cli.audit.prove import prove
from backend.cli.site import Site
from backend.cli.witness import Plan, Round, watch
from backend.kernel.canonical import JsonValue, encode_bytes
from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.transparency import endpoints as transparency
from backend.transparency.engine.findings import Finding, exit_code
from backend.transparency.service import AccountExports, PackBuilder
from backend.transparency.types import NoParts
from tests.backend.transparency.desk import OTHER, TRADER, WALLET, WORD, Desk, caller
from tests.fakes import serve

REGULATOR = caller(encode_bytes(b"\x03" * 32), Role.REGULATOR)
OPENED: dict[str, JsonValue] = {"subject": WALLET, "epoch": 16_953, "position_commitment": WORD}


class Platform:
    """A desk behind the platform's routes; whoever asks is who a test says."""

    def __init__(self, desk: Desk, url: str, signed: list[Caller]) -> None:
        self.desk = desk
        self.url = url
        self.signed = signed

    @property
    def names(self) -> Names:
        """The desk's contract."""
        return Names(contract=self.desk.anchoring.contract, chain_id=self.desk.chain.id)

    async def completeness(self, account: str) -> dict[str, Finding]:
        """Examine an account."""
        findings, _ = await asyncio.to_thread(completeness.examine, Site(self.url), account, self.names)
        assert exit_code(findings) == 0, findings
        return {finding.name: finding for finding in findings}


@pytest.fixture
async def platform(database: Database) -> AsyncIterator[Platform]:
    """Yield a platform with 40 entries, three anchors and one entry above them."""
    desk = Desk(database, NoParts())
    for account in (TRADER, OTHER):
        await desk.log(account, "account.opened", **OPENED)
    for number in range(38):
        if number % 13 == 0:
            await desk.anchoring.anchor_now()
        await desk.log(TRADER if number % 2 else OTHER, "order.filled", instrument="AAPL", price=str(number))
    await desk.anchoring.anchor_now()
    await desk.log(TRADER, "order.filled", instrument="AAPL", price="99")
    signed = [REGULATOR]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(_app(desk, signed), log_config=None, lifespan="off", ws="none"))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield Platform(desk, f"http://127.0.0.1:{listener.getsockname()[1]}", signed)
        finally:
            server.should_exit = True
            await running


def _app(desk: Desk, signed: list[Caller]) -> FastAPI:
    every = APIRouter(prefix="/api/v1")
    for router in (audit.router, anchoring.router, transparency.router):
        every.include_router(router)
    app = serve(
        {
            Database: desk.database,
            LogReader: desk.reader,
            AnchorService: desk.anchoring,
            PackBuilder: desk.packs,
            AccountExports: desk.exports(),
        },
        every,
    )
    app.dependency_overrides[signed_in] = lambda: signed[0]
    return app


async def test_an_account_is_complete_for_a_regulator_and_for_its_owner(platform: Platform) -> None:
    found = await platform.completeness(TRADER)
    assert found["sequence"].detail == "seq 1 to 20"
    assert found["all heads"].detail == "2 accounts, unique, at 4 anchors"
    platform.signed[0] = caller(TRADER, Role.TRADER)
    assert (await platform.completeness("me"))["all heads"].result == "skipped"
    with pytest.raises(NotFound, match="no such account"):
        await platform.completeness(OTHER)


async def test_the_system_account_is_complete_too(platform: Platform) -> None:
    await platform.completeness(TRADER)
    await platform.desk.log(OTHER, "order.refused", reason="var_limit")
    await platform.desk.anchoring.anchor_now()
    found = await platform.completeness("system")
    assert found["sequence"].result == "pass"


async def test_an_export_holds_every_anchored_record(platform: Platform, tmp_path: Path) -> None:
    kept = Export(tmp_path, TRADER)
    await asyncio.to_thread(copy_records, kept, Site(platform.url), TRADER, platform.names)
    assert (kept.after, len(kept.index["files"])) == (20, 1)


async def test_the_served_log_is_audited_and_an_entry_proved(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    names = platform.names
    assert await asyncio.to_thread(lambda: audit_log(None, platform.url, "", names, as_json=True)) == 0
    assert '"anchors": 4' in capsys.readouterr().out
    assert await asyncio.to_thread(lambda: prove(7, None, platform.url, names, as_json=True)) == 0


async def test_a_witness_follows_the_log(platform: Platform, tmp_path: Path) -> None:
    looks: list[Round] = []
    plan = Plan(platform.url, tmp_path, once=True)
    for _ in range(2):
        assert await asyncio.to_thread(watch, plan, lambda _: None, looks.append) == 0
        await platform.desk.log(TRADER, "order.filled", instrument="AAPL", price="1")
    first, second = (look.size for look in looks)
    assert first is not None
    assert second is not None
    assert second > first
