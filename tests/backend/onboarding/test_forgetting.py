"""What a case's screening knows of its applicant cannot be tested by a guess, and goes when the case ends."""

import json
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from backend.accounts.types import Caller, Role
from backend.audit.service import AuditJournal, Sequencer
from backend.audit.service.erasure import ErasureService
from backend.bootstrap.identities import forgetting
from backend.bootstrap.screening import FINGERPRINT, CaseScreening, looking_again
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Invalid
from backend.kit.db import Database
from backend.onboarding.engine.sealing import SealingKeys
from backend.onboarding.models import OnboardingCase, ProviderEventRow
from backend.onboarding.types import CaseState, Personal, Verdict
from backend.ports.identity_provider import Finding
from backend.ports.screening import Outcome, ScreeningSubject, SubjectKind
from backend.screening.engine import Fingerprints
from backend.screening.models import ScreeningHitRow, ScreeningRecord
from backend.screening.service import ScreeningService
from backend.screening.types import Decision, HitState
from tests.backend.onboarding.desk import Desk
from tests.backend.screening.room import FINGERPRINTS, OSKAR, Room
from tests.fakes import FakeClock, FakeSigner

# As the list has it but for a letter: what the list itself says may stay.
NAME, BORN = "Oskar Drenovitch", date(1970, 5, 6)
APPLICANT, OTHER, OPERATOR = (
    Caller(number, f"0x{number:040x}", encode_bytes(bytes([number]) * 32), frozenset({role}))
    for number, role in enumerate((Role.TRADER, Role.TRADER, Role.OPERATOR), start=1)
)
SOMEBODY = Personal(NAME, BORN, "NL")
RETENTION = timedelta(days=1_827)


class Office:
    """A desk whose cases are compared with real lists."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.clock = database, FakeClock()
        self.room, self.journal = Room(database, folder), AuditJournal(self.clock)
        screening = CaseScreening(self.room.screening)
        self.desk = Desk(database, self.journal, screening=screening, clock=self.clock)
        self.desk.provider.finding = Finding.REFERRED

    async def hit(self) -> ScreeningHitRow:
        """Return the newest hit."""
        async with self.database.reading() as session:
            query = select(ScreeningHitRow).order_by(ScreeningHitRow.id.desc()).limit(1)
            return (await session.scalars(query)).one()

    async def started(self) -> int:
        """Open a case of somebody who looks like an entry."""
        await self.room.load(OSKAR)
        return await self.desk.start(APPLICANT, SOMEBODY)

    async def count(self, model: Any) -> int:
        """Return how many rows a table has."""
        async with self.database.reading() as session:
            return len((await session.scalars(select(model))).all())

    async def erase(self) -> None:
        """Have everything erased that the law lets go."""
        await Sequencer(self.database, FakeSigner(), self.clock, "refi.trading/test").integrate()
        hooks = [forgetting(self.desk.cases)]
        service = ErasureService(self.database, self.journal, self.clock, retention=RETENTION, forget=hooks)
        await service.erase(
            APPLICANT.pseudonym, before_epoch=None, reason="I leave", legal_basis="GDPR 17(1)(b)", operator="me"
        )


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return Office(database, tmp_path)


async def bytes_of(database: Database) -> bytes:
    """Return every byte of the database's files, once nothing is left in the write-ahead log."""
    await database.close()
    path = Path(str(database.engine.url.database))
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


def guesses(case_id: int) -> list[bytes]:
    """Return what somebody who guesses a name could look for in a dump."""
    told = [f"case:{case_id}", "person", [NAME], str(BORN), "NL", [APPLICANT.address]]
    return [sha256(text).hexdigest().encode() for text in (NAME.encode(), json.dumps(told).encode())]


async def test_a_guess_finds_nothing_in_the_database_while_the_case_is_open(office: Office) -> None:
    case_id = await office.started()
    assert (await office.hit()).fingerprint
    found = await bytes_of(office.database)
    assert not [one for one in (NAME.encode(), *guesses(case_id)) if one in found]


@pytest.mark.parametrize("ended", ["withdrawn", "rejected", "expired"])
async def test_when_a_case_ends_nothing_is_left_that_tells_who_it_was(office: Office, ended: str) -> None:
    case_id = await office.started()
    before = await office.hit()
    await office.room.resolve(Decision.CLEARED)
    match ended:
        case "withdrawn":
            await office.desk.withdraw(APPLICANT)
        case "rejected":
            await office.desk.decide(case_id, Verdict.REJECT, OPERATOR)
        case _:
            await office.desk.decide(case_id, by=OPERATOR)
            office.clock.advance(business=timedelta(days=366))
            await office.desk.job.run_once()
    assert (await office.desk.case(case_id)).state == CaseState(ended)
    hit = await office.hit()
    assert (hit.fingerprint, hit.reasons, hit.reason, hit.state) == (None, [], "", HitState.CLEARED)
    assert hit.matched_name == "Oskar Drenovic"
    found = await bytes_of(office.database)
    words = [NAME.encode(), str(before.fingerprint).encode(), b"looked at the papers", *guesses(case_id)]
    assert not [one for one in words if one in found]


async def test_an_undecided_name_lapses_with_its_case_and_a_confirmed_one_goes_on_blocking(office: Office) -> None:
    await office.started()
    await office.desk.withdraw(APPLICANT)
    assert (await office.hit()).state == HitState.LAPSED
    await office.desk.start(OTHER, SOMEBODY)
    await office.room.resolve(Decision.CONFIRMED)
    await office.desk.withdraw(OTHER)
    assert (await office.hit()).state == HitState.CONFIRMED
    async with office.database.reading() as session:
        outcomes = (await session.scalars(select(ScreeningRecord.outcome).order_by(ScreeningRecord.reference))).all()
    assert list(outcomes) == [Outcome.CLEAR, Outcome.BLOCKED]


async def test_a_search_that_ends_after_its_case_leaves_nothing(office: Office) -> None:
    case_id = await office.started()
    await office.desk.withdraw(APPLICANT)
    subject = ScreeningSubject(SubjectKind.PERSON, (NAME,), BORN, "NL", (APPLICANT.address,))
    await office.room.screening.screen(f"case:{case_id}", subject)
    assert (await office.hit()).fingerprint
    await looking_again(office.desk.job)(f"case:{case_id}", Outcome.REVIEW)
    assert (await office.hit()).fingerprint is None


async def test_an_erasure_takes_what_is_left_of_an_ended_case_beyond_the_period(office: Office) -> None:
    case_id = await office.started()
    await office.desk.hear("event-1", case_id, Finding.FAILED, 1)
    await office.room.resolve(Decision.CLEARED)
    reference = (await office.desk.case(case_id)).reference_sha256
    await office.desk.withdraw(APPLICANT)
    await office.room.blocks.settle_pending()
    await office.erase()
    assert await office.count(ScreeningHitRow) == 1
    office.clock.advance(business=RETENTION + timedelta(days=2))
    await office.erase()
    counts = [await office.count(model) for model in (ScreeningHitRow, ScreeningRecord, ProviderEventRow)]
    assert counts == [0, 0, 0]
    assert (await office.desk.case(case_id)).state == CaseState.WITHDRAWN
    assert reference.encode() not in await bytes_of(office.database)


async def test_an_erasure_leaves_an_open_case_and_a_block_as_they_are(office: Office) -> None:
    case_id = await office.started()
    office.clock.advance(business=RETENTION + timedelta(days=2))
    await office.erase()
    row = await office.desk.row(case_id)
    assert row.sealed
    assert row.reference_sha256
    assert (await office.hit()).fingerprint
    await office.room.resolve(Decision.CONFIRMED)
    await office.desk.withdraw(APPLICANT)
    office.clock.advance(business=RETENTION + timedelta(days=2))
    await office.erase()
    assert (await office.hit()).state == HitState.CONFIRMED
    assert (await office.desk.row(case_id)).reference_sha256 is None


async def test_a_new_key_recognises_who_was_cleared_under_the_old_one(office: Office) -> None:
    case_id = await office.started()
    await office.room.resolve(Decision.CLEARED)
    room, subject = office.room, ScreeningSubject(SubjectKind.PERSON, (NAME,), BORN, "NL", (APPLICANT.address,))

    def under(*keys: bytes) -> ScreeningService:
        return ScreeningService(
            room.database, room.adapter, room.lists, room.journal, room.clock, Fingerprints(list(keys))
        )

    for keys in ((b"g" * 32, b"f" * 32), (b"g" * 32,)):
        assert (await under(*keys).screen(f"case:{case_id}", subject)).decided is Outcome.CLEAR
    assert await office.count(ScreeningHitRow) == 1
    # Without the key nobody knows who was cleared: a person looks again.
    assert (await under(b"h" * 32).screen(f"case:{case_id}", subject)).decided is Outcome.REVIEW


async def test_a_case_that_is_sealed_anew_is_screened_anew(office: Office) -> None:
    case_id = await office.started()
    async with office.database.transaction() as session:
        old = SealingKeys([b"o" * 32]).seal(case_id, SOMEBODY)
        await session.execute(update(OnboardingCase).values(sealed=old))
    rotated = Desk(office.database, keys=SealingKeys([b"n" * 32, b"o" * 32]))
    async with office.database.transaction() as session:
        assert (await rotated.cases.reseal(session))[0] == 1
    await rotated.job.run_once()
    assert [subject.names for subject in rotated.screening.seen] == [(NAME,)]


def test_a_fingerprint_changes_with_key_reference_and_subject_and_a_wallets_needs_no_key() -> None:
    subject = ScreeningSubject(SubjectKind.PERSON, (NAME,), BORN, "NL", (APPLICANT.address,))
    other = ScreeningSubject(SubjectKind.PERSON, (NAME,), None, "NL", (APPLICANT.address,))
    wallet = ScreeningSubject(SubjectKind.PERSON, (), wallets=(APPLICANT.address,))
    two = Fingerprints([b"g" * 32, b"f" * 32])
    assert two.of("case:1", subject)[1:] == FINGERPRINTS.of("case:1", subject)
    known = [*two.of("case:1", subject), *two.of("case:2", subject), *two.of("case:1", other)]
    assert len(set(known)) == 6
    assert two.of("p1", wallet) == FINGERPRINTS.of("p1", wallet)
    with pytest.raises(Invalid):
        Fingerprints([])


def test_keys_of_another_purpose_are_other_keys_in_the_same_order() -> None:
    old, both = SealingKeys([b"o" * 32]), SealingKeys([b"n" * 32, b"o" * 32])
    assert both.derived(FINGERPRINT)[1:] == old.derived(FINGERPRINT)
    assert len({*both.derived(FINGERPRINT), *both.derived("another"), b"o" * 32, b"n" * 32}) == 6
