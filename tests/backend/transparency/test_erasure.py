"""Packs of before an erasure still verify, packs of after it show what was retained, and other tables forget too."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.endpoints import signed_in
from backend.accounts.models import Account, RefreshFamily, RefreshToken
from backend.accounts.types import Caller, Role
from backend.audit.service import LogReader
from backend.audit.service.erasure import ErasureService
from backend.audit.types import StoredRecord
from backend.compliance.models import ComplianceReceipt
from backend.decisions.models import DecisionRow
from backend.execution.models import OrderRow, ReconciliationRow
from backend.kernel.canonical import encode_bytes
from backend.kernel.clock import epoch_of
from backend.kernel.errors import Conflict, Invalid, Unauthorized
from backend.kit.db import Base, Database
from backend.kit.models import IdempotencyKey, Job
from backend.proofs.models import AttestationRow, EpochRow, FailureRow, RefusedEpochRow
from backend.proofs.service import ATTEST_JOB
from backend.risk.models import HaltRow, RiskDecision
from backend.settings import Settings
from backend.transparency.endpoints import router
from backend.transparency.service import AccountExports, PackBuilder, forget
from backend.transparency.types import NoParts
from tests.backend.accounts.site import local_settings
from tests.backend.transparency.desk import (
    FULL_CHECKS,
    ORIGIN,
    OTHER,
    RETENTION,
    TRADER,
    WALLET,
    WORD,
    Desk,
    FakeParts,
    caller,
    passed,
    results,
)
from tests.conftest import import_every_model
from tests.fakes import client_of, serve

CLOSED: dict[str, Any] = {"subject": WALLET, "epoch": 16_953, "position_commitment": WORD}
NAMING = {"account", "event", "prev", "seq"}
ADMIN = caller(encode_bytes(b"\x04" * 32), Role.TRADER, Role.ADMIN)
OWNER = caller(TRADER, Role.TRADER)
LONG_AGO = datetime(2016, 6, 1, 20, tzinfo=UTC)


@pytest.fixture
async def desk(database: Database) -> Desk:
    """Return a desk whose trader's records 0 to 2 are long over the period, and 3 and 4 within it; all are anchored."""
    made = Desk(database, FakeParts())
    await made.log(TRADER, "account.opened", **CLOSED)
    await made.log(TRADER, "order.filled", instrument="AAPL", price="187.25")
    await made.log(TRADER, "epoch.closed", **CLOSED)
    made.clock.advance(business=2 * RETENTION)
    await made.log(TRADER, "order.filled", instrument="MSFT", price="52.5")
    await made.log(TRADER, "epoch.closed", **CLOSED | {"epoch": 20_000})
    await made.anchoring.anchor_now()
    return made


async def erase(desk: Desk) -> None:
    """Erase what may go."""
    done = await desk.erasures().erase(
        TRADER, before_epoch=None, reason="asked for", legal_basis="GDPR 17", operator=TRADER
    )
    assert (done.erased, done.kept) == (3, 2)


async def test_a_pack_of_before_the_erasure_still_verifies(desk: Desk) -> None:
    builder = desk.builder(NoParts())
    packs = [await builder.owner(TRADER, index) for index in range(5)]
    before = [results(desk.check(pack)) for pack in packs]
    await erase(desk)
    assert [results(desk.check(pack)) for pack in packs] == before
    assert all(desk.check(pack).ok for pack in packs)


async def test_a_pack_of_after_it_shows_what_was_retained_and_verifies(desk: Desk) -> None:
    await erase(desk)
    builder = desk.builder(NoParts())
    pack: Any = await builder.owner(TRADER, 1)
    shown = [set(entry["disclosed"]) for entry in pack["entries"]]
    closed = NAMING | {"epoch", "position_commitment"}
    assert shown == [NAMING, closed, NAMING, closed | {"subject"}]
    assert "187.25" not in json.dumps(pack)
    report = desk.check(pack)
    assert report.ok
    assert passed(report) >= set(FULL_CHECKS)
    later: Any = await builder.owner(TRADER, 3)
    assert later["entries"][0]["disclosed"]["price"]["value"] == "52.5"
    assert desk.check(later).ok


async def test_every_kind_of_pack_of_an_erased_record_verifies(desk: Desk) -> None:
    await erase(desk)
    builder = desk.builder(NoParts())
    for index in range(3):
        full = await builder.regulator(OTHER, index)
        some = await builder.regulator(OTHER, index, fields=["seq"])
        for pack in (full, some, await builder.public(index)):
            assert desk.check(pack).ok
    opened: Any = await builder.owner(TRADER, 0, fields=["position_commitment"])
    assert set(opened["entries"][0]["disclosed"]) == {"account", "event", "position_commitment", "seq"}


class Meanwhile(LogReader):
    """A reader with somebody beside it who erases what it has just read."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.done = desk, False

    async def chain(self, *args: Any, **kwargs: Any) -> list[StoredRecord]:
        """Read, and let the other one erase then."""
        found = await super().chain(*args, **kwargs)
        if not self.done:
            self.done = True
            await erase(self.desk)
        return found


async def test_what_is_erased_between_reading_and_leaving_does_not_leave(desk: Desk) -> None:
    with pytest.raises(Conflict, match="erased meanwhile"):
        await desk.exports(reader=Meanwhile(desk)).page(OWNER, "me", 0, 10)
    assert await desk.disclosures() == []
    assert b"187.25" not in (await desk.exports().page(OWNER, "me", 0, 10)).pack


async def test_a_record_erased_between_reading_and_leaving_does_not_leave(desk: Desk) -> None:
    packs = PackBuilder(
        desk.database, Meanwhile(desk), desk.anchoring, desk.journal, FakeParts(), origin=ORIGIN, public_key=desk.key
    )
    with pytest.raises(Conflict, match="erased meanwhile"):
        await packs.owner(TRADER, 1)
    assert await desk.disclosures() == []


async def test_an_erased_field_cannot_be_asked_for(desk: Desk) -> None:
    await erase(desk)
    with pytest.raises(Invalid, match="no field price; it has account, event, prev, seq"):
        await desk.packs.owner(TRADER, 1, fields=["price"])


async def test_an_erased_epoch_has_no_attestation_part(desk: Desk) -> None:
    assert "var" in await desk.packs.public(2)
    await erase(desk)
    public: Any = await desk.packs.public(2)
    assert "var" not in public
    assert public["entries"][0]["disclosed"] == {}
    # The next epoch, which is whole, still has its own.
    full: Any = await desk.packs.owner(TRADER, 2)
    assert full["var"]["epoch"] == 20_000
    assert (await desk.packs.public(4))["var"] == full["var"]


async def test_an_export_holds_erased_records_too(desk: Desk) -> None:
    await erase(desk)
    pack = json.loads((await desk.exports().page(OWNER, "me", 0, 100)).pack)
    assert [entry["disclosed"]["seq"]["value"] for entry in pack["entries"]] == [1, 2, 3, 4, 5]
    assert "price" in pack["entries"][3]["disclosed"]
    assert "price" not in pack["entries"][1]["disclosed"]
    report = desk.check(pack)
    assert report.ok
    assert passed(report) >= set(FULL_CHECKS)


@pytest.mark.parametrize("name", ["epoch", "position_commitment", "seq", "prev"])
async def test_a_retained_value_cannot_be_changed(desk: Desk, name: str) -> None:
    await erase(desk)
    pack: Any = await desk.builder(NoParts()).owner(TRADER, 2)
    value = pack["entries"][0]["disclosed"][name]["value"]
    pack["entries"][0]["disclosed"][name]["value"] = value + 1 if isinstance(value, int) else value[:-1] + "x"
    assert results(desk.check(pack))["disclosed fields"] == "fail"


def order(number: int, seq: int, state: str = "filled") -> OrderRow:
    """Return the trader's order of a number, whose record has a seq."""
    return OrderRow(
        order_id=f"{number:032x}",
        account_id=1,
        client_key=f"key-{number}",
        instrument="AAPL",
        side="buy",
        quantity_units=1,
        state=state,
        gate="",
        rule="",
        reason="",
        decision_id=f"{number + 100:032x}",
        model="",
        compliance_receipt=f"{number % 2:064x}",
        risk_decision=f"{number + 200:032x}",
        venue_order_id="",
        ordered_at=LONG_AGO,
        record_account=TRADER,
        record_seq=seq,
        record_commitment="",
        record_id=seq,
    )


def fields_of(number: int) -> dict[str, Any]:
    """Return what the log holds of an order."""
    return {
        "order_id": f"{number:032x}",
        "decision_id": f"{number + 100:032x}",
        "compliance_receipt": f"{number % 2:064x}",
    }


def kept_of(number: int) -> list[Base]:
    """Return what the stages keep of an order beside its row."""
    decision = f"{number + 100:032x}"
    return [
        DecisionRow(
            decision_id=decision,
            account=TRADER,
            kind="agent",
            instrument="AAPL",
            side="buy",
            quantity_units=1,
            features=["0.5"],
            features_sha256="",
            q_values=["1"],
            action="buy",
            decided_at=LONG_AGO,
        ),
        RiskDecision(id=f"{number + 200:032x}", decision_id=decision, account_id=1, rule="", figures={}, used=True),
        ComplianceReceipt(sha256=f"{number % 2:064x}", json="{}"),
        IdempotencyKey(
            account_id=1,
            key=f"key-{number}",
            request_sha256="",
            status=201,
            media_type="application/json",
            response=json.dumps({"order_id": f"{number:032x}", "price": "187.25"}),
        ),
    ]


def closed_of(epoch: int) -> list[Base]:
    """Return what is kept of a closed epoch."""
    return [
        EpochRow(
            account=TRADER, subject=WALLET, epoch=epoch, universe_id="", positions=[1], salt="0x1", commitment="",
            record_id=epoch, record_seq=1,
        ),
        FailureRow(subject=WALLET, epoch=epoch, policy_id="", reason="unavailable", failed_at=LONG_AGO),
        RefusedEpochRow(account=TRADER, epoch=epoch, reason="holdings cannot be attested: ZZZ"),
        AttestationRow(
            account=TRADER, subject=WALLET, epoch=epoch, policy_id="", state="attested", var="1", limit="2",
            changed_at=LONG_AGO,
        ),
        Job(
            id=f"{epoch:032x}", name=ATTEST_JOB, account_id=1, payload={"epoch": epoch, "subject": WALLET},
            state="done", finished_at=LONG_AGO,
        ),
    ]  # fmt: skip


FORGOTTEN = {
    *("attestations", "audit_records", "compliance_receipts", "decisions", "epochs", "failed_attestations"),
    *("halts", "idempotency_keys", "onboarding_cases", "screening_hits", "screening_records"),
    *("jobs", "orders", "reconciliations", "refused_epochs", "refresh_families", "refresh_tokens", "risk_decisions"),
}
# Why each of them stays is written down in docs/decisions/0013.
STAYING = {
    *("accounts", "anchor_requests", "audit_accounts", "audit_state", "cash", "positions"),
    *("onboarding_members", "risk_accounts", "traded_volumes"),
}
SAYS_WHO = re.compile("account|subject|address|pseudonym|wallet|actor|payload|response|decision|family|json")


def test_every_table_that_says_something_of_an_account_is_forgotten_or_known_to_stay() -> None:
    import_every_model()
    found = {
        table.name for table in Base.metadata.sorted_tables if any(SAYS_WHO.search(one.name) for one in table.columns)
    }
    assert found == FORGOTTEN | STAYING


@pytest.fixture
async def offices(database: Database) -> Desk:
    """Return a desk with three orders: number 1 is long over, 2 is as old but of unknown fate, 3 is recent."""
    return await filled(database)


async def filled(database: Database) -> Desk:
    """Fill every table that says something of the trader's orders and epochs."""
    made = Desk(database, NoParts())
    today = made.clock.business()
    async with database.transaction() as session:
        session.add(Account(id=1, address=WALLET, pseudonym=TRADER, opened_at=LONG_AGO, roles=["trader"]))
        await session.flush()
        session.add_all([order(1, 1), order(2, 2, "unknown"), order(3, 5)])
        session.add_all([kept for number in (1, 2, 3) for kept in kept_of(number)])
        session.add_all([*closed_of(16_953), *closed_of(20_000)])
        for day in (today.date(), (today + 2 * RETENTION).date()):
            session.add(
                ReconciliationRow(
                    day=day, account=TRADER, venue="paper", outcome={}, differences=0, reconciled_at=today
                )
            )
        for state in ("armed", "tripped"):
            session.add(
                HaltRow(scope="account", account_id=1, subject=WALLET, state=state, reason="drawdown", by_system=True,
                        tripped_at=LONG_AGO)
            )  # fmt: skip
    for number in (1, 2):
        await made.log(TRADER, "order.filled", price="187.25", **fields_of(number))
    await made.log(TRADER, "epoch.closed", **CLOSED)
    await made.log(TRADER, "halt.seen", halt_id=1)
    made.clock.advance(business=2 * RETENTION)
    await made.log(TRADER, "order.filled", price="52.5", **fields_of(3))
    await made.log(TRADER, "epoch.closed", **CLOSED | {"epoch": 20_000})
    return made


async def column(session: AsyncSession, of: Any) -> list[Any]:
    return sorted(await session.scalars(select(of)))


async def test_what_the_stages_keep_of_erased_records_goes_with_them(offices: Desk) -> None:
    done = await offices.erasures([forget]).erase(
        TRADER, before_epoch=None, reason="asked for", legal_basis="GDPR 17", operator=TRADER
    )
    assert (done.erased, done.kept) == (4, 2)
    async with offices.database.reading() as session:
        # An order of unknown fate still reserves cash and shares: it stays, with what it was decided on.
        assert await column(session, OrderRow.order_id) == [f"{number:032x}" for number in (2, 3)]
        assert await column(session, DecisionRow.decision_id) == [f"{number + 100:032x}" for number in (2, 3)]
        assert await column(session, RiskDecision.id) == [f"{number + 200:032x}" for number in (2, 3)]
        assert await column(session, EpochRow.epoch) == [20_000]
        assert await column(session, RefusedEpochRow.epoch) == [20_000]
        assert await column(session, FailureRow.epoch) == [20_000]
        assert await column(session, AttestationRow.epoch) == [20_000]
        assert await column(session, Job.id) == [f"{20_000:032x}"]
        assert len(await column(session, ReconciliationRow.day)) == 1
        # Order 3 got the same receipt as order 1.
        assert await column(session, ComplianceReceipt.sha256) == [f"{number:064x}" for number in (0, 1, 1)]


async def test_a_job_that_an_operator_started_about_an_account_goes_too(offices: Desk) -> None:
    done = {"name": ATTEST_JOB, "account_id": 99, "state": "done", "finished_at": LONG_AGO, "result": {"var": "187.25"}}
    async with offices.database.transaction() as session:
        old = await session.scalar(select(EpochRow.epoch).order_by(EpochRow.epoch).limit(1))
        for job_id, subject in (("gone", WALLET), ("kept", "0x" + "ef" * 20)):
            session.add(Job(id=job_id, payload={"epoch": old, "subject": subject}, **done))
    await offices.erasures([forget]).erase(
        TRADER, before_epoch=None, reason="asked for", legal_basis="GDPR 17", operator=TRADER
    )
    async with offices.database.reading() as session:
        assert await column(session, Job.id) == [f"{20_000:032x}", "kept"]


async def test_an_answer_that_named_an_erased_order_is_gone_and_its_key_stays_used(offices: Desk) -> None:
    await offices.erasures([forget]).erase(
        TRADER, before_epoch=None, reason="asked for", legal_basis="GDPR 17", operator=TRADER
    )
    async with offices.database.reading() as session:
        kept = {row.key: row for row in await session.scalars(select(IdempotencyKey))}
    assert set(kept) == {"key-1", "key-2", "key-3"}
    assert kept["key-1"].status == 410
    assert "187.25" not in kept["key-1"].response
    assert json.loads(kept["key-1"].response)["type"] == "urn:refi:problem:erased"
    assert kept["key-3"].status == 201


async def test_sessions_that_were_over_go_with_the_logins_of_that_time(offices: Desk) -> None:
    now = offices.clock.wall()
    async with offices.database.transaction() as session:
        for name, expires_at in {"over": now - timedelta(days=1), "open": now + timedelta(days=1)}.items():
            session.add(RefreshFamily(id=name, account_id=1, opened_at=LONG_AGO, expires_at=expires_at))
            await session.flush()
            session.add(RefreshToken(token_sha256=name, family_id=name, issued_at=LONG_AGO))
    await offices.log(TRADER, "login", method="eip4361")
    offices.clock.advance(business=2 * RETENTION)
    await offices.erasures([forget]).erase(
        TRADER, before_epoch=None, reason="asked for", legal_basis="GDPR 17", operator=TRADER
    )
    async with offices.database.reading() as session:
        assert await column(session, RefreshFamily.id) == ["open"]
        assert await column(session, RefreshToken.family_id) == ["open"]


async def test_a_halt_that_is_over_forgets_whom_it_was_about(offices: Desk) -> None:
    await offices.log(TRADER, "halt.seen", halt="2")
    await offices.log(TRADER, "halt.seen", halt="1")
    offices.clock.advance(business=2 * RETENTION)
    await offices.erasures([forget]).erase(
        TRADER, before_epoch=None, reason="asked for", legal_basis="GDPR 17", operator=TRADER
    )
    async with offices.database.reading() as session:
        halts = [
            tuple(row) for row in await session.execute(select(HaltRow.subject, HaltRow.state).order_by(HaltRow.id))
        ]
        live = await session.scalar(select(func.count()).select_from(Account).where(Account.address == WALLET))
    assert halts == [("", "armed"), (WALLET, "tripped")]
    # The account itself is still in use.
    assert live == 1


async def test_over_http_owners_erase_their_own_and_admins_anybodys(desk: Desk) -> None:
    services = {ErasureService: desk.erasures(), AccountExports: desk.exports(), Database: desk.database}
    app = serve(services, router)

    def nobody() -> Caller:
        raise Unauthorized("sign in first")

    grounds = {"reason": "asked for", "legal_basis": "GDPR 17"}
    missing = encode_bytes(b"\x07" * 32)

    async def ask(who: Callable[[], Caller], **body: Any) -> Any:
        app.dependency_overrides[signed_in] = who
        async with client_of(app) as client:
            return await client.post("/erasures", json=grounds | body)

    other = caller(OTHER, Role.TRADER, Role.REGULATOR, Role.OPERATOR)
    strangers = [await ask(lambda: other, account=named) for named in (TRADER, WALLET, missing, "system")]
    assert [answer.status_code for answer in strangers] == [403] * 4
    # What is there and what is not answer alike.
    assert len({answer.text for answer in strangers}) == 1
    assert (await ask(nobody)).status_code == 401
    assert (await ask(lambda: ADMIN, account=missing)).status_code == 404
    assert (await ask(lambda: ADMIN, account="0x" + "00" * 20)).status_code == 404
    for wrong in ({"reason": " "}, {"legal_basis": ""}, {"account": "x"}, {"before_epoch": -1}, {"all": True}):
        assert (await ask(lambda: OWNER, **wrong)).status_code == 422
    own = await ask(lambda: OWNER, before_epoch=epoch_of(LONG_AGO) + 1)
    assert own.status_code == 200
    assert own.json() == {"erased": 3, "kept": 0, "left": 0, "until": epoch_of(LONG_AGO) + 1}
    assert (await ask(lambda: OWNER, account=TRADER, before_epoch=epoch_of(LONG_AGO) + 1)).json()["erased"] == 0
    refused = await ask(lambda: ADMIN, account=WALLET)
    assert (refused.json()["erased"], refused.json()["kept"]) == (0, 3)
    async with desk.database.reading() as session:
        size = (await desk.reader.checkpoint(session)).size
    await desk.log(OTHER, "order.filled")
    async with desk.database.reading() as session:
        logged = await desk.reader.chain(session, TRADER, 6, size + 9)
    assert [(one.event, one.fields["operator"]) for one in logged] == [
        ("erasure", TRADER),
        ("erasure.refused", ADMIN.pseudonym),
    ]


async def test_an_admin_may_erase_but_not_look(desk: Desk) -> None:
    app = serve({PackBuilder: desk.packs, AccountExports: desk.exports(), Database: desk.database}, router)
    app.dependency_overrides[signed_in] = lambda: ADMIN
    async with client_of(app) as client:
        for path in ("/evidence/1/full", f"/evidence/accounts/{TRADER}", f"/evidence/accounts/{TRADER}/heads"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/evidence/heads/0")).status_code == 403
    assert await desk.disclosures() == []


def test_the_period_is_five_years_and_production_takes_no_less(tmp_path: Path) -> None:
    assert local_settings(tmp_path).retention >= timedelta(days=5 * 365 + 2)
    assert date(2021, 1, 1) + local_settings(tmp_path).retention >= date(2026, 1, 1)
    assert local_settings(tmp_path, retention=timedelta(0)).retention == timedelta(0)
    with pytest.raises(Invalid, match="REFI_RETENTION"):
        Settings(_env_file=None, environment="production", retention=timedelta(days=1_826))


async def test_postgresql_erases_and_forgets_alike(postgres_database: Database) -> None:
    made = await filled(postgres_database)
    done = await made.erasures([forget]).erase(
        TRADER, before_epoch=None, reason="asked for", legal_basis="GDPR 17", operator=TRADER
    )
    assert (done.erased, done.kept) == (4, 2)
    await made.anchoring.anchor_now()
    pack = json.loads((await made.exports().page(OWNER, "me", 0, 100)).pack)
    assert "price" not in pack["entries"][0]["disclosed"]
    assert made.check(pack).ok
    async with postgres_database.reading() as session:
        assert await column(session, OrderRow.order_id) == [f"{number:032x}" for number in (2, 3)]
        assert await column(session, EpochRow.epoch) == [20_000]
        assert await column(session, RefusedEpochRow.epoch) == [20_000]
        assert await column(session, FailureRow.epoch) == [20_000]
        assert await column(session, IdempotencyKey.status) == [201, 410, 410]
