"""Cases from their start to credentials on chain, their renewal, their end."""

from datetime import timedelta

import pytest

from backend.compliance.service import type_id
from backend.compliance.types import CredentialType
from backend.kernel.errors import Conflict, Forbidden, NotFound, Unavailable
from backend.kit.db import Database
from backend.onboarding.types import CaseState, Verdict
from backend.ports.identity_provider import Finding
from backend.ports.screening import Outcome
from tests.backend.onboarding.desk import (
    APPLICANT,
    COMPANY,
    FIRM,
    KEYS,
    OPERATOR,
    OTHER,
    PERSON,
    SECOND,
    YEAR,
    Desk,
    caller,
)

WALLET = APPLICANT.address


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


async def test_an_approved_person_gets_kyc_and_aml_until_a_year_from_now(desk: Desk) -> None:
    case_id = await desk.approved()
    case = await desk.case(case_id)
    end = desk.clock.business() + YEAR
    assert (case.state, case.issued, case.expires_at) == (CaseState.APPROVED, True, end)
    assert desk.registries.held(WALLET) == {"common.kyc": int(end.timestamp()), "common.aml": int(end.timestamp())}
    data = {data for _, data in desk.registries.credentials.values()}
    assert data == {bytes.fromhex(case.reference_sha256)}
    assert desk.journal.events() == [
        "onboarding.started", "onboarding.pending", "onboarding.needs_review", "onboarding.approved",
        "credential.issued", "credential.issued",
    ]  # fmt: skip


async def test_a_person_who_passed_and_is_on_no_list_needs_no_operator(desk: Desk) -> None:
    desk.provider.finding = Finding.PASSED
    case_id = await desk.start()
    await desk.job.run_once()
    assert (await desk.case(case_id)).state is CaseState.APPROVED
    assert "common.kyc" in desk.registries.held(WALLET)


@pytest.mark.parametrize("outcome", [Outcome.REVIEW, Outcome.BLOCKED])
async def test_a_person_who_passed_and_is_on_a_list_waits_for_one(desk: Desk, outcome: Outcome) -> None:
    desk.provider.finding, desk.screening.outcome = Finding.PASSED, outcome
    case_id = await desk.start()
    assert (await desk.case(case_id)).state is CaseState.NEEDS_REVIEW
    with pytest.raises(Conflict, match="screening is not clear"):
        await desk.decide(case_id)
    # A reviewer of hits has said that it is somebody else.
    desk.screening.outcome = Outcome.CLEAR
    assert (await desk.decide(case_id)).state is CaseState.APPROVED


async def test_no_machine_rejects(desk: Desk) -> None:
    desk.provider.finding = Finding.FAILED
    case_id = await desk.start()
    assert (await desk.case(case_id)).state is CaseState.NEEDS_REVIEW
    assert (await desk.decide(case_id, Verdict.REJECT)).state is CaseState.REJECTED
    assert not desk.registries.sent


async def test_the_wallet_itself_is_screened_too(desk: Desk) -> None:
    await desk.start()
    subject = desk.screening.seen[0]
    assert (subject.names, subject.birth_date, subject.wallets) == ((PERSON.name,), PERSON.birth_date, (WALLET,))


async def test_nobody_decides_or_looks_at_their_own_case(desk: Desk) -> None:
    desk.provider.finding = Finding.REFERRED
    case_id = await desk.start(OPERATOR)
    with pytest.raises(Forbidden):
        await desk.decide(case_id)
    async with desk.database.transaction() as session:
        with pytest.raises(Forbidden):
            await desk.cases.disclose(session, OPERATOR, case_id)
    assert (await desk.decide(case_id, by=SECOND)).state is CaseState.APPROVED


async def test_an_organisation_needs_two_operators(desk: Desk) -> None:
    desk.provider.finding = Finding.PASSED
    case_id = await desk.start(FIRM, COMPANY)
    first = await desk.decide(case_id)
    assert (first.state, first.seconded) == (CaseState.NEEDS_REVIEW, True)
    with pytest.raises(Conflict, match="second operator"):
        await desk.decide(case_id)
    assert (await desk.decide(case_id, by=SECOND)).state is CaseState.APPROVED
    assert set(desk.registries.held(FIRM.address)) == {"common.kyb", "common.aml"}


async def test_what_is_decided_is_not_decided_again(desk: Desk) -> None:
    case_id = await desk.approved()
    for verdict in Verdict:
        with pytest.raises(Conflict, match=f"approved does not {verdict}"):
            await desk.decide(case_id, verdict)
    with pytest.raises(NotFound):
        await desk.decide(case_id + 1)


async def test_one_case_a_wallet_is_open(desk: Desk) -> None:
    await desk.start()
    with pytest.raises(Conflict):
        await desk.start()
    await desk.start(OTHER)
    await desk.withdraw()
    await desk.start()


async def test_a_silent_provider_is_asked_again_with_the_same_key(desk: Desk) -> None:
    desk.provider.down = True
    case_id = await desk.start()
    assert (await desk.case(case_id)).state is CaseState.STARTED
    key, desk.provider.down = (await desk.row(case_id)).review_key, False
    assert await desk.job.run_once() == []  # it rests a while
    desk.clock.advance(wall=timedelta(minutes=2))
    await desk.job.run_once()
    assert (await desk.case(case_id)).state is CaseState.PENDING
    assert [applicant.key for applicant in desk.provider.started] == [key]


async def test_where_no_list_is_in_force_nobody_is_taken_up(desk: Desk) -> None:
    desk.screening.down = True
    case_id = await desk.start()
    assert (await desk.case(case_id)).state is CaseState.STARTED
    assert not desk.provider.started


@pytest.mark.parametrize("lost", ["registerIdentity", "registerCredential"])
async def test_a_crash_between_decision_and_credential_loses_nothing(desk: Desk, lost: str) -> None:
    desk.registries.lost = {lost}
    case_id = await desk.approved()
    case = await desk.case(case_id)
    assert (case.state, case.issued) == (CaseState.APPROVED, False)
    assert "credential.issued" not in desk.journal.events()
    known = dict(desk.registries.identities)
    # A new process over the same database and chain.
    desk.clock.advance(wall=timedelta(minutes=2))
    await desk.job.run_once()
    await desk.job.run_once()
    assert (await desk.case(case_id)).issued
    assert desk.registries.identities == known
    assert set(desk.registries.held(WALLET)) == {"common.kyc", "common.aml"}
    assert desk.journal.events().count("credential.issued") == 2


async def test_a_withdrawal_while_the_credential_is_on_its_way_takes_it(desk: Desk) -> None:
    desk.registries.lost = {"registerCredential"}
    case_id = await desk.approved()
    assert desk.registries.credentials
    desk.clock.advance(wall=timedelta(minutes=2))
    await desk.withdraw()
    assert (await desk.case(case_id)).state is CaseState.WITHDRAWN
    assert not desk.registries.credentials


async def test_a_silent_chain_holds_no_write_lock(desk: Desk) -> None:
    desk.provider.finding = Finding.REFERRED
    case_id = await desk.start()
    await desk.decide(case_id, carried=False)
    desk.chain.down = True
    with pytest.raises(Unavailable):
        await desk.job.carry_out(case_id)
    async with desk.database.transaction():
        pass
    assert (await desk.case(case_id)).state is CaseState.APPROVED


async def test_withdrawing_takes_what_was_issued_and_forgets_who_it_was(desk: Desk) -> None:
    case_id = await desk.approved()
    await desk.withdraw()
    case, row = await desk.case(case_id), await desk.row(case_id)
    assert (case.state, case.issued, row.sealed) == (CaseState.WITHDRAWN, False, b"")
    assert not desk.registries.held(WALLET)
    async with desk.database.transaction() as session:
        with pytest.raises(NotFound):
            await desk.cases.disclose(session, OPERATOR, case_id)
        with pytest.raises(NotFound):
            await desk.cases.withdraw(session, APPLICANT)


async def test_a_chain_that_falls_silent_between_two_credentials_loses_no_record(desk: Desk) -> None:
    await desk.approved()
    aml = next(key for key in desk.registries.credentials if key[1] == type_id(CredentialType.AML))
    desk.registries.silent = {aml}
    await desk.withdraw()
    assert desk.journal.events().count("credential.revoked") == 1
    desk.registries.silent = set()
    desk.clock.advance(wall=timedelta(minutes=2))
    await desk.job.run_once()
    assert desk.journal.events().count("credential.revoked") == 2
    assert not desk.registries.held(WALLET)


async def test_credentials_that_end_soon_are_said_once_and_then_expire(desk: Desk) -> None:
    case_id = await desk.approved()
    with pytest.raises(Conflict, match="renewal is not due"):
        await desk.start()
    desk.clock.advance(business=YEAR - timedelta(days=30))
    for _ in range(2):
        await desk.job.run_once()
    assert (await desk.case(case_id)).renewal_due
    assert desk.journal.events().count("onboarding.renewal_due") == 1
    desk.clock.advance(business=timedelta(days=30))
    for _ in range(2):
        await desk.job.run_once()
    assert (await desk.case(case_id)).state is CaseState.EXPIRED
    assert (await desk.row(case_id)).sealed == b""
    assert desk.journal.events().count("onboarding.expired") == 1


@pytest.mark.parametrize("late", [False, True])
async def test_a_renewal_is_a_new_review_of_the_case_and_another_end_of_its_credentials(desk: Desk, late: bool) -> None:
    case_id = await desk.approved()
    first = (await desk.case(case_id)).reference_sha256
    desk.clock.advance(business=YEAR if late else YEAR - timedelta(days=10))
    await desk.job.run_once()
    assert await desk.start() == case_id
    under_review = await desk.case(case_id)
    assert (under_review.state, under_review.round, under_review.issued) == (CaseState.NEEDS_REVIEW, 2, True)
    assert under_review.reference_sha256 != first
    assert desk.registries.held(WALLET)
    await desk.decide(case_id)
    end = desk.clock.business() + YEAR
    assert desk.registries.held(WALLET)["common.kyc"] == int(end.timestamp())
    assert desk.registries.sent.count("renewCredential") == 2
    assert (await desk.case(case_id)).expires_at == end


async def test_a_rejected_renewal_takes_the_credentials(desk: Desk) -> None:
    case_id = await desk.approved()
    desk.clock.advance(business=YEAR - timedelta(days=10))
    await desk.start()
    await desk.decide(case_id, Verdict.REJECT)
    assert not desk.registries.held(WALLET)


async def test_a_changed_list_that_blocks_somebody_stops_them_until_an_operator_has_decided(desk: Desk) -> None:
    case_id = await desk.approved()
    desk.screening.version, desk.screening.outcome = "b" * 64, Outcome.BLOCKED
    await desk.job.run_once()
    assert (await desk.case(case_id)).state is CaseState.NEEDS_REVIEW
    assert not desk.registries.held(WALLET)
    desk.screening.outcome = Outcome.CLEAR
    await desk.decide(case_id)
    assert set(desk.registries.held(WALLET)) == {"common.kyc", "common.aml"}


async def test_a_changed_list_that_only_looks_like_somebody_leaves_their_credentials(desk: Desk) -> None:
    case_id = await desk.approved()
    desk.screening.version, desk.screening.outcome = "b" * 64, Outcome.REVIEW
    await desk.job.run_once()
    assert (await desk.case(case_id)).state is CaseState.NEEDS_REVIEW
    assert desk.registries.held(WALLET)


async def test_a_changed_list_that_says_nothing_new_is_recorded_once_for_its_result(desk: Desk) -> None:
    case_id, seen = await desk.approved(), len(desk.screening.seen)
    desk.screening.version = "b" * 64
    for _ in range(3):
        await desk.job.run_once()
    assert len(desk.screening.seen) == seen + 1
    assert (await desk.case(case_id)).state is CaseState.APPROVED


async def test_a_provider_that_changes_its_mind_puts_an_approved_case_before_a_person(desk: Desk) -> None:
    desk.provider.finding = Finding.PASSED
    case_id = await desk.start()
    assert await desk.hear("e1", case_id, Finding.FAILED, minutes=1)
    case = await desk.case(case_id)
    assert (case.state, case.finding) == (CaseState.NEEDS_REVIEW, Finding.FAILED)


async def test_a_webhook_that_was_lost_is_made_up_for_by_asking(desk: Desk) -> None:
    case_id = await desk.start()
    desk.provider.finding = Finding.PASSED
    desk.clock.advance(wall=timedelta(minutes=2))
    await desk.job.run_once()
    assert (await desk.case(case_id)).state is CaseState.APPROVED


async def test_a_webhook_is_taken_up_once_and_an_older_one_moves_nothing(desk: Desk) -> None:
    case_id = await desk.start()
    assert await desk.hear("e2", case_id, Finding.FAILED, minutes=2)
    before = desk.journal.events()
    assert not await desk.hear("e2", case_id, Finding.PASSED, minutes=3)
    assert not await desk.hear("e1", case_id, Finding.PASSED, minutes=1)
    case = await desk.case(case_id)
    assert (case.state, case.finding) == (CaseState.NEEDS_REVIEW, Finding.FAILED)
    assert desk.journal.events() == before


async def test_the_reference_of_an_earlier_round_is_unknown(desk: Desk) -> None:
    case_id = await desk.approved()
    row = await desk.row(case_id)
    desk.clock.advance(business=YEAR)
    await desk.job.run_once()
    await desk.start()
    assert (await desk.row(case_id)).reference_sha256 != row.reference_sha256


async def test_who_somebody_is_is_shown_to_an_operator_and_that_is_recorded(desk: Desk) -> None:
    case_id = await desk.start()
    async with desk.database.transaction() as session:
        shown = await desk.cases.disclose(session, OPERATOR, case_id)
    assert (shown.name, shown.birth_date) == (PERSON.name, PERSON.birth_date)
    assert desk.journal.records[-1].event == "onboarding.disclosed"
    assert desk.journal.records[-1].account == "system"


async def test_no_record_holds_a_name_a_birth_date_or_a_reference(desk: Desk) -> None:
    case_id = await desk.approved()
    reference = KEYS.open(case_id, (await desk.row(case_id)).sealed).reference
    told = repr(desk.journal.records)
    for secret in (PERSON.name, "Quarterbridge", "1980", reference):
        assert secret not in told


async def test_a_stranger_has_no_case(desk: Desk) -> None:
    async with desk.database.reading() as session:
        with pytest.raises(NotFound):
            await desk.cases.own(session, caller(77))
