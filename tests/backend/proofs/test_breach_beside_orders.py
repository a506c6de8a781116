"""A breach halts the account, and an order beside it is neither lost nor in its way."""

import asyncio
from types import SimpleNamespace
from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.models import Account
from backend.execution.repository import lock_cash
from backend.kit.db import Database
from backend.market.service import MarketService
from backend.proofs.engine.kept import Attestation, AttestationState
from backend.proofs.service import AttestationService
from backend.risk.repository import account_switch, hold_switch, switch_state
from backend.risk.service import KillSwitch
from backend.risk.types import SwitchState
from tests.backend.proofs.world import CONSTRAINTS, EPOCH, KEY, OWNER, POLICY_ID, World


async def hold(session: AsyncSession, subject: str) -> None:
    assert subject == OWNER.address
    await lock_cash(session, OWNER.id, 0)


async def test_a_breach_waits_for_an_order_on_its_way_instead_of_ending_it(postgres_database: Database) -> None:
    world, under_way = World(postgres_database), asyncio.Event()
    async with postgres_database.transaction() as session:
        opened = world.clock.business()
        owner = Account(id=OWNER.id, address=OWNER.address, pseudonym=OWNER.pseudonym, opened_at=opened, roles=[])
        session.add(owner)
    await world.prepare(shares=11)
    switch = KillSwitch(cast("MarketService", SimpleNamespace(now=world.clock.business)), world.journal)

    async def halt(session: AsyncSession, breach: Attestation) -> None:
        await switch.trip_account(session, OWNER.id, breach.subject, "above the limit")

    attestations = AttestationService(
        world.database,
        world.chain,
        world.prover,
        world.reader,
        world.anchors,
        world.journal,
        world.clock,
        circuit=KEY.circuit,
        constraints=CONSTRAINTS,
        policy_id=POLICY_ID,
        on_breach=halt,
        hold=hold,
    )

    async def order() -> None:
        async with world.database.transaction() as session:
            await lock_cash(session, OWNER.id, 0)
            await hold_switch(session, account_switch(OWNER.id))
            under_way.set()
            # The venue's answer, and the breach meanwhile.
            await asyncio.sleep(0.5)
            await world.journal.record(session, OWNER.pseudonym, "login", {"method": "wallet"}, actor="x", policy="1")

    async def breach() -> Attestation:
        await under_way.wait()
        return await attestations.attest(OWNER.address, EPOCH, world.stages.append)

    _, made = await asyncio.gather(order(), breach())
    assert made.state is AttestationState.BREACHED
    async with world.database.reading() as session:
        assert (await switch_state(session, account_switch(OWNER.id)))[0] is SwitchState.TRIPPED
    assert [event for event, _ in await world.events()][-2:] == ["login", "var.breach"]
