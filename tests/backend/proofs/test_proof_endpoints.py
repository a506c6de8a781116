"""Who may close, publish and attest over HTTP, and what a stranger sees of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy import select

from backend.accounts.endpoints import signed_in
from backend.accounts.types import Caller, Role
from backend.kit.db import Database
from backend.kit.models import Job
from backend.kit.queue import EmbeddedJobs, JobBoard, Jobs, JobView
from backend.proofs.endpoints import router
from backend.proofs.engine.kept import word
from backend.proofs.service import AttestationService, ClosingJob, ReturnsService
from backend.proofs.tasks import handlers
from tests.backend.proofs.world import (
    CONSTRAINTS,
    DAY,
    EPOCH,
    OWNER,
    POLICY_ID,
    PROBE_ID,
    ZERO,
    World,
    account,
    closing_job,
)
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
        ClosingJob: closing_job(world),
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
    early = await site.client.post("/epochs/close", json={"epoch": EPOCH})
    assert (early.status_code, "is to be closed first" in early.json()["detail"]) == (409, True)
    await closing_job(site.world).run_once()
    closed = await site.client.post("/epochs/close", json={"epoch": EPOCH})
    published = await site.client.post("/returns/publish", json={"day": DAY.isoformat()})
    await site.world.anchor()
    job = await site.attest(TRADER)
    assert closed.json() == {"epoch": EPOCH, "closed": 1, "refused": []}
    assert published.json()["cid"] in site.world.pinner.files
    assert job.state == "done"
    assert job.result is not None
    assert {name: job.result[name] for name in ("outcome", "value", "limit", "es", "es_limit")} == {
        "outcome": "attested",
        "value": "30",
        "limit": "30",
        "es": "30",
        "es_limit": "30",
    }
    assert {name: job.result[name] for name in ("constraints", "prove_seconds", "gas_used")} == {
        "constraints": CONSTRAINTS,
        "prove_seconds": 1.5,
        "gas_used": 80_000,
    }


async def test_a_stranger_sees_the_proof_but_never_the_value(site: Site) -> None:
    await site.world.prepare()
    assert (await site.public())["attestations"] == []
    await site.attest(TRADER)
    (shown,) = (await site.public())["attestations"]
    assert shown["state"] == "attested"
    assert len(shown["public_inputs"]) == 9
    assert (shown["limit"], shown["es_limit"], shown["broken"]) == ("30", "30", [])
    assert not {"value", "var", "es"} & set(shown)


async def test_a_breach_is_shown_as_such_without_the_value(site: Site) -> None:
    await site.world.prepare(shares=11)
    job = await site.attest(OPERATOR)
    assert job.result is not None
    assert (job.result["outcome"], job.result["broken"]) == ("breach", ["var", "es"])
    (shown,) = (await site.public())["attestations"]
    assert (shown["state"], shown["proof"], shown["limit"]) == ("breached", None, "30")
    assert (shown["es_limit"], shown["broken"]) == ("30", ["var", "es"])
    assert "33" not in str(shown)


@pytest.mark.parametrize("shares", [10, 11], ids=["attested", "breach"])
async def test_an_operator_learns_what_became_of_anothers_claim_and_no_figure(site: Site, shares: int) -> None:
    await site.world.prepare(shares)
    theirs = (await site.attest(OPERATOR)).result
    own = (await site.attest(TRADER)).result
    assert theirs is not None
    assert own is not None
    assert own == {**theirs, "value": str(3 * shares), "es": str(3 * shares)}
    assert not {"value", "es"} & set(theirs)


async def test_the_chain_shows_every_closed_epoch_with_its_gaps_breaches_and_failures(site: Site) -> None:
    world = site.world
    for later, shares in enumerate((1, 1, 11, 1, 1)):
        await world.prepare(shares, later)
    kept, skipped, breached, failed, again = range(EPOCH, EPOCH + 5)
    first = await site.attest(TRADER, epoch=kept)
    await site.attest(TRADER, epoch=breached)
    world.prover.finds_none = True
    assert (await site.attest(TRADER, epoch=failed)).state == "failed"
    world.prover.finds_none = False
    last = await site.attest(TRADER, epoch=again)
    assert first.result is not None
    assert last.result is not None
    asked = await site.client.get("/proofs/var/chain", params={"subject": OWNER.address.upper().replace("X", "x", 1)})
    shown = asked.json()
    assert (shown["subject"], shown["policy_id"]) == (OWNER.address, word(POLICY_ID))
    epochs = shown["epochs"]
    assert [(one["epoch"], one["state"]) for one in epochs] == [
        (kept, "attested"),
        (skipped, "skipped"),
        (breached, "breached"),
        (failed, "failed"),
        (again, "attested"),
    ]
    assert [one["broken"] for one in epochs] == [[], [], ["var", "es"], [], []]
    assert epochs[3]["reason"] == "unavailable"
    assert (epochs[0]["previous"], epochs[4]["previous"]) == (word(ZERO), epochs[0]["attestation_id"])
    assert epochs[4]["tx_hash"] == last.result["tx_hash"]
    assert "next" not in asked.links


async def test_epochs_that_are_asked_for_at_once_are_attested_in_their_order(site: Site) -> None:
    world = site.world
    for later in range(2):
        await world.prepare(1, later)
    prove, slow, begun = world.prover.prove, asyncio.Event(), asyncio.Event()

    async def first_is_slow(*asked: Any) -> Any:
        if not begun.is_set():
            begun.set()
            await slow.wait()
        return await prove(*asked)

    world.prover.prove = first_is_slow  # type: ignore[method-assign, assignment]
    first = asyncio.create_task(site.attest(TRADER))
    await begun.wait()
    second = asyncio.create_task(site.attest(TRADER, epoch=EPOCH + 1))
    await asyncio.sleep(0.3)
    slow.set()
    assert [(await job).state for job in (first, second)] == ["done", "done"]
    claims = [claim for claim, _ in world.contracts.submitted]
    assert [epoch for _, epoch, *_ in claims] == [EPOCH, EPOCH + 1]


async def test_the_chain_comes_in_pages_and_under_the_policy_asked_for(site: Site) -> None:
    for later in range(3):
        await site.world.prepare(1, later)
    asked = {"subject": OWNER.address, "policy_id": word(PROBE_ID), "limit": "2"}
    first = await site.client.get("/proofs/var/chain", params=asked)
    rest = await site.client.get(first.links["next"]["url"])
    assert [one["epoch"] for page in (first, rest) for one in page.json()["epochs"]] == [EPOCH, EPOCH + 1, EPOCH + 2]
    assert rest.json()["policy_id"] == word(PROBE_ID)
    assert "next" not in rest.links
    assert (await site.client.get("/proofs/var/chain", params=asked | {"policy_id": "0x12"})).status_code == 422


async def test_policies_that_there_are_not_leave_no_failure_behind(site: Site) -> None:
    await site.world.prepare()
    assert (await site.attest(TRADER, policy_id=word(PROBE_ID))).state == "failed"
    asked = {"subject": OWNER.address, "policy_id": word(PROBE_ID)}
    shown = (await site.client.get("/proofs/var/chain", params=asked)).json()
    assert [(one["state"], one["reason"]) for one in shown["epochs"]] == [("skipped", None)]


async def test_a_stranger_is_in_no_chain(site: Site) -> None:
    assert (await site.client.get("/proofs/var/chain", params={"subject": account(9).address})).json()["epochs"] == []


async def test_a_job_that_cannot_be_done_says_why(site: Site) -> None:
    await site.world.prepare()
    job = await site.attest(TRADER, anchor_index=7)
    assert job.state == "failed"
    assert job.error is not None
    assert "no such anchor" in job.error


@pytest.mark.parametrize("caller", [TRADER, OPERATOR], ids=["owner", "operator"])
async def test_an_epoch_that_was_never_closed_is_not_found_at_once_and_leaves_nothing(
    site: Site, caller: Caller
) -> None:
    await site.world.prepare()
    site.enter(caller)
    before = await site.world.events()
    asked = await site.client.post("/proofs/var", json={"subject": OWNER.address, "epoch": EPOCH + 1})
    assert (asked.status_code, "not closed" in asked.json()["detail"]) == (404, True)
    async with site.world.database.transaction() as session:
        assert list(await session.scalars(select(Job))) == []
        system = await site.world.journal.system_account(session)
    assert await site.world.events() == before
    assert not any(event.startswith("var.") for event, _ in await site.world.events(system))


async def test_whoever_may_not_ask_is_told_so_before_the_epoch_is_looked_for(site: Site) -> None:
    site.enter(STRANGER)
    asked = {"subject": OWNER.address, "epoch": EPOCH + 1}
    assert (await site.client.post("/proofs/var", json=asked)).status_code == 403


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
