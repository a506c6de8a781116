"""A stake on a real chain: its tier, its votes, and the fees that come back for it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from backend.accounts.models import Account
from backend.accounts.types import Caller, Role
from backend.adapters.chain.rpc import RpcChain
from backend.adapters.governance.contracts import ContractBook
from backend.adapters.governance.votes import GovernorVotes
from backend.adapters.staking.contract import ContractStaking
from backend.execution.repository import cash_units
from backend.execution.service import Rebates
from backend.governance.endpoints import router
from backend.governance.service import ProposalService, StakeService
from backend.governance.types import Act
from backend.kernel.errors import Invalid
from backend.kit.db import Database
from backend.ports.chain import Reverted
from tests.backend.governance.dao_chain import ONE, SHARE, TIERS, Dao, deployed
from tests.backend.pipeline.rooms import House
from tests.fakes import FakeJournal, client_of, serve
from tests.ports.conftest import node

__all__ = ["node"]

TIMEOUT = timedelta(seconds=10)
COOLDOWN = timedelta(days=7)


@pytest.fixture(scope="module")
def dao(node: str, tmp_path_factory: pytest.TempPathFactory) -> Dao:
    return deployed(node, tmp_path_factory.mktemp("deployments"))


class Desk:
    """The services over the chain."""

    def __init__(self, dao: Dao) -> None:
        folder = dao.local.deployments
        self.dao = dao
        self.chain = RpcChain(dao.local.url, folder, dao.local.signer, timeout=TIMEOUT)
        self.votes = GovernorVotes(dao.local.url, folder, timeout=TIMEOUT)
        self.proposals = ProposalService(self.chain, ContractBook(folder), self.votes, FakeJournal())
        self.stakes = StakeService(self.chain)

    async def step(self, wallet: str, act: Act) -> None:
        """Let a wallet sign what the platform wrote."""
        self.dao.send(wallet, await self.proposals.unsigned(act, self.dao.address(wallet)))


@pytest.fixture
async def desk(dao: Dao) -> AsyncIterator[Desk]:
    made = Desk(dao)
    yield made
    await made.votes.close()
    await made.chain.close()


async def test_a_stake_makes_a_tier_keeps_its_votes_and_gives_a_days_fees_back(
    desk: Desk, database: Database, tmp_path: Path
) -> None:
    whale = desk.dao.address("whale")
    steps = await desk.stakes.stake(whale, 10_000 * ONE)
    assert [step.function for step in steps] == ["approve", "stake"]
    for step in (desk.proposals.delegate(whale), *steps):
        await desk.step("whale", step)
    power = await desk.proposals.power(whale)
    assert (power.balance, power.staked, power.votes) == (SHARE - 10_000 * ONE, 10_000 * ONE, SHARE)
    position = await desk.stakes.position(whale)
    assert (position.tier, position.rebate_bps, position.delegate) == (2, 2_500, whale)

    house = House(database, tmp_path)
    trader = await house.trader()
    other = await house.trader(2)
    holder = Caller(trader.account_id, whale, trader.pseudonym, frozenset({Role.TRADER}))
    async with house.session() as session:
        await session.execute(update(Account).where(Account.id == trader.account_id).values(address=whale))
    for caller in (holder, other):
        assert (await house.person(caller, "buy", "1")).state == "filled"
    fee = Decimal(str(next(r.fields["fee"] for r in house.journal.records if "fee" in r.fields)))
    house.clock.set(house.clock.business() + timedelta(days=1))
    async with house.session() as session:
        before = [await cash_units(session, caller.account_id) or 0 for caller in (holder, other)]
    rebates = Rebates(database, ContractStaking(desk.chain), house.journal, house.clock)
    assert await rebates.run_once() == 1
    assert await rebates.run_once() == 0
    async with house.session() as session:
        after = [await cash_units(session, caller.account_id) or 0 for caller in (holder, other)]
        stake, total = await rebates.standing(session, holder)
    given = Decimal(int(fee * 10**6) * 2_500 // 10_000) / 10**6
    assert given > 0
    assert [late - early for late, early in zip(after, before, strict=True)] == [int(given * 10**10), 0]
    assert (stake.tier, total) == (2, given)
    record = house.journal.records[-1]
    assert (record.event, record.fields["tier"], record.fields["rebate_bps"]) == ("fee.rebated", 2, 2_500)


async def test_what_is_asked_back_counts_for_no_tier_and_is_paid_after_the_wait(desk: Desk) -> None:
    second = desk.dao.address("second")
    for step in await desk.stakes.stake(second, 1_000 * ONE):
        await desk.step("second", step)
    await desk.step("second", desk.stakes.unstake(1))
    position = await desk.stakes.position(second)
    assert (position.tier, position.pending, position.staked) == (0, 1, 1_000 * ONE - 1)
    with pytest.raises(Reverted, match="NotAvailable"):
        await desk.proposals.unsigned(desk.stakes.withdraw(), second)
    desk.dao.wait(COOLDOWN)
    await desk.step("second", desk.stakes.withdraw())
    assert (await desk.stakes.position(second)).pending == 0
    await desk.step("second", desk.stakes.delegate(desk.dao.address("stranger")))
    assert (await desk.proposals.power(desk.dao.address("stranger"))).votes == 1_000 * ONE - 1


async def test_what_cannot_be_staked_is_refused_before_anything_is_signed(desk: Desk) -> None:
    stranger = desk.dao.address("stranger")
    for amount in (0, -1, 2**128):
        with pytest.raises(Invalid):
            await desk.stakes.stake(stranger, amount)
    with pytest.raises(Invalid, match="holds 0"):
        await desk.stakes.stake(stranger, 1)
    with pytest.raises(Invalid, match="nobody"):
        desk.stakes.delegate("0x" + "00" * 20)
    with pytest.raises(Reverted, match="NoStake"):
        await desk.proposals.unsigned(desk.stakes.delegate(stranger), desk.dao.address("trader"))


async def test_tiers_and_stakes_are_public(desk: Desk) -> None:
    app = serve({ProposalService: desk.proposals, StakeService: desk.stakes}, router)
    async with client_of(app) as client:
        terms: httpx.Response = await client.get("/governance/staking")
        nobody = await client.get("/governance/staking/" + "0x" + "99" * 20)
        malformed = await client.get("/governance/staking/0x12")
    assert terms.json()["tiers"] == [
        {"tier": number, "threshold": str(threshold), "rebate_bps": bps}
        for number, (threshold, bps) in enumerate(TIERS, 1)
    ]
    assert terms.json()["cooldown"] == COOLDOWN.total_seconds()
    found = nobody.json()
    assert (found["staked"], found["tier"], found["available_at"]) == ("0", 0, None)
    assert malformed.status_code == 422
