"""Nothing goes on chain, or stays there, that the lists of now do not let pass."""

from datetime import timedelta

import pytest

from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.onboarding.types import CaseState
from backend.ports.identity_provider import Finding
from backend.ports.screening import Outcome
from tests.backend.onboarding.desk import APPLICANT, COMPANY, FIRM, YEAR, Desk, caller

WALLET = APPLICANT.address


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.mark.parametrize("outcome", [Outcome.REVIEW, Outcome.BLOCKED])
async def test_a_list_that_changed_since_the_decision_stops_the_credentials_on_their_way(
    desk: Desk, outcome: Outcome
) -> None:
    desk.provider.finding = Finding.REFERRED
    case_id = await desk.start()
    await desk.decide(case_id, carried=False)
    desk.screening.version, desk.screening.outcome = "b" * 64, outcome
    await desk.job.carry_out(case_id)
    case = await desk.case(case_id)
    assert (case.state, case.issued, case.screening) == (CaseState.NEEDS_REVIEW, False, outcome)
    assert not desk.registries.held(WALLET)
    desk.screening.outcome = Outcome.CLEAR
    await desk.decide(case_id)
    assert set(desk.registries.held(WALLET)) == {"common.kyc", "common.aml"}


async def test_a_pass_that_is_heard_while_no_list_is_in_force_puts_nothing_on_chain(desk: Desk) -> None:
    case_id = await desk.start()
    desk.screening.down = True
    assert await desk.hear("e1", case_id, Finding.PASSED)
    with pytest.raises(Unavailable):
        await desk.job.carry_out(case_id)
    assert not desk.registries.held(WALLET)
    desk.screening.down = False
    desk.clock.advance(wall=timedelta(minutes=2))
    await desk.job.run_once()
    assert set(desk.registries.held(WALLET)) == {"common.kyc", "common.aml"}


async def test_a_provider_that_changes_its_mind_stops_the_credentials_on_their_way(desk: Desk) -> None:
    case_id = await desk.start()
    assert await desk.hear("e1", case_id, Finding.PASSED, minutes=1)
    assert await desk.hear("e2", case_id, Finding.FAILED, minutes=2)
    await desk.job.run_once()
    assert (await desk.case(case_id)).state is CaseState.NEEDS_REVIEW
    assert not desk.registries.held(WALLET)


async def test_a_block_stops_old_credentials_while_the_provider_of_a_renewal_is_silent(desk: Desk) -> None:
    case_id = await desk.approved()
    desk.clock.advance(business=YEAR - timedelta(days=10))
    desk.provider.down = True
    await desk.start()
    assert (await desk.case(case_id)).state is CaseState.STARTED
    assert desk.registries.held(WALLET)
    desk.screening.version, desk.screening.outcome = "b" * 64, Outcome.BLOCKED
    for _ in range(2):
        desk.clock.advance(wall=timedelta(minutes=2))
        await desk.job.run_once()
    assert not desk.registries.held(WALLET)


async def test_a_wallet_on_a_list_joins_no_organisation(desk: Desk) -> None:
    case_id, member = await desk.approved(FIRM, COMPANY), caller(21)
    async with desk.database.transaction() as session:
        await desk.organisations.invite(session, FIRM, member.address, signatory=False)
    async with desk.database.transaction() as session:
        await desk.organisations.accept(session, member, case_id)
    desk.screening.named = {member.address}
    await desk.job.run_once()
    assert not desk.registries.held(member.address)
    async with desk.database.reading() as session:
        assert (await desk.cases.own(session, FIRM)).members == []
