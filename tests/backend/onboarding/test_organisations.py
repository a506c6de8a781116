"""An organisation's further wallets: named, willing, under one identity on chain, and out again."""

from datetime import timedelta

import pytest

from backend.accounts.types import Caller
from backend.kernel.errors import Conflict, Forbidden, NotFound
from backend.kit.db import Database
from backend.onboarding.types import Member, MemberState, Verdict
from tests.backend.onboarding.desk import APPLICANT, COMPANY, FIRM, OTHER, Desk, caller

DEPUTY, CLERK, STRANGER = caller(21), caller(22), caller(23)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


async def invite(desk: Desk, by: Caller, who: Caller, *, signatory: bool = False) -> Member:
    async with desk.database.transaction() as session:
        return await desk.organisations.invite(session, by, who.address, signatory=signatory)


async def accept(desk: Desk, who: Caller, case_id: int) -> None:
    async with desk.database.transaction() as session:
        await desk.organisations.accept(session, who, case_id)
    await desk.job.run_once()


async def remove(desk: Desk, by: Caller, who: Caller) -> None:
    async with desk.database.transaction() as session:
        await desk.organisations.remove(session, by, who.address)
    await desk.job.run_once()


async def members(desk: Desk) -> dict[str, MemberState]:
    async with desk.database.reading() as session:
        return {one.address: one.state for one in (await desk.cases.own(session, FIRM)).members}


async def test_a_wallet_that_accepts_holds_what_the_organisation_holds(desk: Desk) -> None:
    case_id = await desk.approved(FIRM, COMPANY)
    await invite(desk, FIRM, CLERK)
    await desk.job.run_once()
    assert not desk.registries.held(CLERK.address)
    await accept(desk, CLERK, case_id)
    assert desk.registries.identities[CLERK.address] == desk.registries.identities[FIRM.address]
    assert desk.registries.held(CLERK.address) == desk.registries.held(FIRM.address)
    assert await members(desk) == {CLERK.address: MemberState.REGISTERED}


async def test_only_an_approved_organisations_signatories_name_wallets(desk: Desk) -> None:
    await desk.approved(APPLICANT)
    for who in (APPLICANT, STRANGER):
        with pytest.raises(Forbidden):
            await invite(desk, who, CLERK)
    await desk.start(FIRM, COMPANY)
    with pytest.raises(Conflict, match="needs_review"):
        await invite(desk, FIRM, CLERK)


async def test_a_signatory_names_others_and_a_clerk_does_not(desk: Desk) -> None:
    case_id = await desk.approved(FIRM, COMPANY)
    await invite(desk, FIRM, DEPUTY, signatory=True)
    with pytest.raises(Forbidden):
        await invite(desk, DEPUTY, CLERK)
    await accept(desk, DEPUTY, case_id)
    await invite(desk, DEPUTY, CLERK)
    await accept(desk, CLERK, case_id)
    with pytest.raises(Forbidden):
        await invite(desk, CLERK, STRANGER)


async def test_nobody_joins_uninvited_or_twice(desk: Desk) -> None:
    case_id = await desk.approved(FIRM, COMPANY)
    with pytest.raises(NotFound):
        await accept(desk, STRANGER, case_id)
    await invite(desk, FIRM, CLERK)
    with pytest.raises(NotFound):
        await accept(desk, CLERK, case_id + 1)
    await accept(desk, CLERK, case_id)
    with pytest.raises(Conflict):
        await accept(desk, CLERK, case_id)
    with pytest.raises(Conflict):
        await invite(desk, FIRM, CLERK)


async def test_a_wallet_is_a_person_of_its_own_or_an_organisations_not_both(desk: Desk) -> None:
    await desk.start(OTHER)
    case_id = await desk.approved(FIRM, COMPANY)
    with pytest.raises(Conflict, match="case of its own"):
        await invite(desk, FIRM, OTHER)
    await invite(desk, FIRM, CLERK)
    # An invitation keeps nobody out; who has a case of their own does not join.
    await desk.start(CLERK)
    with pytest.raises(Conflict, match="case of its own"):
        await accept(desk, CLERK, case_id)
    await desk.withdraw(CLERK)
    await accept(desk, CLERK, case_id)
    with pytest.raises(Conflict, match="organisation's"):
        await desk.start(CLERK)


async def test_a_wallet_that_is_somebody_else_on_chain_is_left_out(desk: Desk) -> None:
    case_id = await desk.approved(FIRM, COMPANY)
    desk.registries.identities[CLERK.address] = b"\x09" * 32
    await invite(desk, FIRM, CLERK)
    await accept(desk, CLERK, case_id)
    assert await members(desk) == {}
    assert desk.registries.identities[CLERK.address] == b"\x09" * 32
    assert desk.journal.events()[-1] == "onboarding.member_removed"


async def test_a_wallet_that_leaves_loses_the_identity(desk: Desk) -> None:
    case_id = await desk.approved(FIRM, COMPANY)
    for who in (DEPUTY, CLERK):
        await invite(desk, FIRM, who)
        await accept(desk, who, case_id)
    with pytest.raises((NotFound, Forbidden)):
        await remove(desk, STRANGER, CLERK)
    with pytest.raises((NotFound, Forbidden)):
        await remove(desk, DEPUTY, CLERK)
    await remove(desk, CLERK, CLERK)
    await remove(desk, FIRM, DEPUTY)
    assert set(desk.registries.identities) == {FIRM.address}
    assert desk.registries.held(FIRM.address)
    assert await members(desk) == {}


async def test_when_the_organisation_withdraws_all_its_wallets_lose_everything(desk: Desk) -> None:
    case_id = await desk.approved(FIRM, COMPANY)
    await invite(desk, FIRM, CLERK)
    await accept(desk, CLERK, case_id)
    await desk.withdraw(FIRM)
    assert not desk.registries.held(FIRM.address)
    assert not desk.registries.held(CLERK.address)
    assert CLERK.address not in desk.registries.identities
    assert await members(desk) == {}


async def test_a_crash_while_a_wallet_is_registered_loses_nothing(desk: Desk) -> None:
    case_id = await desk.approved(FIRM, COMPANY)
    await invite(desk, FIRM, CLERK)
    desk.registries.lost = {"registerIdentity"}
    await accept(desk, CLERK, case_id)
    assert await members(desk) == {CLERK.address: MemberState.ACCEPTED}
    for _ in range(2):
        desk.clock.advance(wall=timedelta(minutes=2))
        await desk.job.run_once()
    assert await members(desk) == {CLERK.address: MemberState.REGISTERED}
    assert desk.journal.events().count("onboarding.member_registered") == 1


async def test_nobody_of_the_organisation_decides_its_case(desk: Desk) -> None:
    case_id = await desk.approved(FIRM, COMPANY)
    await invite(desk, FIRM, CLERK)
    with pytest.raises(Forbidden):
        await desk.decide(case_id, Verdict.REJECT, CLERK)
