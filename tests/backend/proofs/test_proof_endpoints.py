"""Who may close, publish and attest over HTTP, and what a stranger sees of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from backend.accounts.endpoints import signed_in
from backend.accounts.types import Caller, Role
from backend.kit.db import Database
from backend.kit.queue import EmbeddedJobs, JobBoard, Jobs, JobView
from backend.proofs.endpoints import router
from backend.proofs.service import AttestationService, EpochService, ReturnsService
from backend.proofs.tasks import handlers
from tests.backend.proofs.world import CONSTRAINTS, DAY, EPOCH, OWNER, World, account
from tests.fakes import client_of, serve

TRADER = Caller(OWNER.id, OWNER.address, OWNER.pseudonym, frozenset({Role.TRADER}))
STRANGER = Caller(2, account(2).address, account(2).pseudonym, frozenset({Role.TRADER, Role.REGULATOR}))
OPERATOR = Caller(3, account(3).address, account(3).pseudonym, frozenset({Role.TRADER, Role.OPERATOR}))


class Site:
    """The routes over a small world, and a runner of jobs."""

    def __init__(self, world: World, app: FastAPI, client: AsyncClient) -> None:
        self.world, self.app, self.client = world, app, client

    def enter(self, caller: Caller) -> None:
        """Sign somebody in."""
        self.app.dependency_overrides[signed_in] = lambda: caller

    async def attest(self, caller: Caller, **changed: Any) -> JobView:
        """Ask for an attestation and wait for the job's end."""
        self.enter(caller)
        body = {"subject": OWNER.address, "epoch": EPOCH, **changed}
        started = await self.client.post("/proofs/var", json=body)
        assert started.status_code == 202
        while True:
            async with self.world.database.reading() as session:
                job = await JobBoard().view(session, started.json()["job_id"], caller.account_id)
            if job.state not in {"queued", "running"}:
                return job
            await asyncio.sleep(0.01)

    async def public(self) -> dict[str, Any]:
        """Return what anybody sees of the owner's epoch."""
        found = await self.client.get("/proofs/var", params={"subject": OWNER.address, "epoch": EPOCH})
        shown: dict[str, Any] = found.json()
        return shown


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    world = World(database)
    jobs = EmbeddedJobs(database, handlers(world.attestations))
    services = {
        Database: database,
        EpochService: world.epochs,
        ReturnsService: world.returns,
        AttestationService: world.attestations,
        Jobs: jobs,
    }
    app = serve(services, router)
    runner = asyncio.create_task(jobs.run())
    async with client_of(app) as client:
        yield Site(world, app, client)
    runner.cancel()
    with suppress(asyncio.CancelledError):
        await runner


async def test_an_operator_closes_and_publishes_and_the_owner_attests(site: Site) -> None:
    site.world.holdings.units[OWNER.id] = {"AAA": 10 * 10**6}
    site.enter(OPERATOR)
    closed = await site.client.post("/epochs/close", json={"epoch": EPOCH})
    published = await site.client.post("/returns/publish", json={"day": DAY.isoformat()})
    await site.world.anchor()
    job = await site.attest(TRADER)
    assert closed.json() == {"epoch": EPOCH, "closed": 1, "refused": []}
    assert published.json()["cid"] in site.world.pinner.files
    assert job.state == "done"
    assert job.result is not None
    assert {name: job.result[name] for name in ("outcome", "value", "limit", "constraints", "prove_seconds")} == {
        "outcome": "attested",
        "value": "30",
        "limit": "30",
        "constraints": CONSTRAINTS,
        "prove_seconds": 1.5,
    }
    assert job.result["gas_used"] == 80_000


async def test_a_stranger_sees_the_proof_but_never_the_value(site: Site) -> None:
    await site.world.prepare()
    assert (await site.public())["attestations"] == []
    await site.attest(TRADER)
    (shown,) = (await site.public())["attestations"]
    assert shown["state"] == "attested"
    assert len(shown["public_inputs"]) == 10
    assert "value" not in shown


async def test_a_breach_is_shown_as_such_without_the_value(site: Site) -> None:
    await site.world.prepare(shares=11)
    job = await site.attest(OPERATOR)
    assert job.result is not None
    assert job.result["outcome"] == "breach"
    (shown,) = (await site.public())["attestations"]
    assert (shown["state"], shown["proof"], shown["limit"]) == ("breached", None, "30")
    assert "33" not in str(shown)


async def test_a_job_that_cannot_be_done_says_why(site: Site) -> None:
    await site.world.anchors_only()
    job = await site.attest(TRADER)
    assert job.state == "failed"
    assert job.error is not None
    assert "not closed" in job.error


async def test_only_owner_and_operator_ask_for_an_attestation(site: Site) -> None:
    site.enter(STRANGER)
    body = {"subject": OWNER.address, "epoch": EPOCH}
    assert (await site.client.post("/proofs/var", json=body)).status_code == 403


async def test_only_an_operator_closes_and_publishes(site: Site) -> None:
    site.enter(TRADER)
    assert (await site.client.post("/epochs/close", json={"epoch": EPOCH})).status_code == 403
    assert (await site.client.post("/returns/publish", json={"day": DAY.isoformat()})).status_code == 403
    assert site.world.chain.sent == []


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "0x12", "epoch": EPOCH},
        {"subject": OWNER.address, "epoch": -1},
        {"subject": OWNER.address, "epoch": EPOCH, "policy_id": "0x12"},
        {"subject": OWNER.address, "epoch": EPOCH, "anchor_index": -1},
        {"subject": OWNER.address, "epoch": EPOCH, "limit": "1"},
    ],
)
async def test_what_is_malformed_is_invalid_and_starts_nothing(site: Site, body: dict[str, Any]) -> None:
    site.enter(TRADER)
    assert (await site.client.post("/proofs/var", json=body)).status_code == 422
