"""What only a database with parallel writers can get wrong."""

import asyncio

import pytest

from backend.accounts.types import Caller
from backend.kernel.errors import Conflict
from backend.kit.db import Database
from backend.onboarding.types import CaseState, Verdict
from backend.ports.identity_provider import CaseKind, Finding
from tests.backend.onboarding.desk import APPLICANT, COMPANY, FIRM, OPERATOR, PERSON, SECOND, Desk, caller


@pytest.fixture
def desk(postgres_database: Database) -> Desk:
    return Desk(postgres_database)


async def test_a_case_goes_all_the_way(desk: Desk) -> None:
    case_id = await desk.approved()
    assert (await desk.case(case_id)).issued
    await desk.withdraw()
    assert not desk.registries.held(APPLICANT.address)


async def test_of_many_starts_one_opens_a_case(desk: Desk) -> None:
    async def start() -> bool:
        try:
            async with desk.database.transaction() as session:
                await desk.cases.start(session, APPLICANT, CaseKind.PERSON, PERSON)
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(start() for _ in range(8)))) == 1
    assert desk.journal.events().count("onboarding.started") == 1


async def test_of_many_copies_of_a_webhook_one_is_taken_up(desk: Desk) -> None:
    case_id = await desk.start()
    heard = await asyncio.gather(*(desk.hear("e1", case_id, Finding.FAILED) for _ in range(12)))
    assert sum(heard) == 1
    assert desk.journal.events().count("onboarding.needs_review") == 1


async def test_of_two_decisions_one_stands(desk: Desk) -> None:
    desk.provider.finding = Finding.REFERRED
    case_id = await desk.start()
    outcomes = await asyncio.gather(
        desk.decide(case_id, Verdict.APPROVE, OPERATOR, carried=False),
        desk.decide(case_id, Verdict.REJECT, SECOND, carried=False),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    assert (await desk.case(case_id)).state in {CaseState.APPROVED, CaseState.REJECTED}


async def test_two_processes_issue_once_on_record(desk: Desk) -> None:
    desk.provider.finding = Finding.REFERRED
    case_id = await desk.start()
    await desk.decide(case_id, carried=False)
    other = Desk(desk.database)
    other.chain, other.registries = desk.chain, desk.registries
    other.job = type(desk.job)(
        desk.database, desk.ledger, desk.provider, desk.screening, desk.job._credentials, desk.job._keys, desk.clock,
        desk.job._terms,
    )  # fmt: skip
    await asyncio.gather(desk.job.carry_out(case_id), other.job.carry_out(case_id))
    assert desk.journal.events().count("credential.issued") == 2
    assert set(desk.registries.held(APPLICANT.address)) == {"common.kyc", "common.aml"}


async def test_a_wallet_that_joins_and_opens_a_case_at_once_does_one_of_the_two(desk: Desk) -> None:
    firm = await desk.approved(FIRM, COMPANY)

    async def join(wallet: Caller) -> None:
        async with desk.database.transaction() as session:
            await desk.organisations.accept(session, wallet, firm)

    async def start(wallet: Caller) -> None:
        async with desk.database.transaction() as session:
            await desk.cases.start(session, wallet, CaseKind.PERSON, PERSON)

    for number in range(30, 38):
        wallet = caller(number)
        async with desk.database.transaction() as session:
            await desk.organisations.invite(session, FIRM, wallet.address, signatory=False)
        outcomes = await asyncio.gather(join(wallet), start(wallet), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(Conflict) == 1


async def test_a_webhook_beside_a_withdrawal_leaves_nothing_on_chain(desk: Desk) -> None:
    case_id = await desk.start()
    await asyncio.gather(desk.hear("e1", case_id, Finding.PASSED), desk.withdraw(carried=False), return_exceptions=True)
    await desk.job.run_once()
    assert (await desk.case(case_id)).state is CaseState.WITHDRAWN
    assert not desk.registries.held(APPLICANT.address)
