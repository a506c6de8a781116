"""Every mutating route leaves exactly the entries that it should, and no reading route leaves any but disclosures."""

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from backend.audit.models import RecordRow
from backend.governance.types import ProposalState
from backend.kernel.clock import epoch_of
from backend.kernel.errors import RefiError
from backend.kit.db import Database
from backend.kit.models import Job
from backend.kit.queue import JobContext, add_job
from backend.pipeline.events import COMMON, EVENTS, page
from backend.ports.broker import Unknown
from backend.ports.identity_provider import Finding, ProviderEvent
from backend.ports.screening import ListFormat, ScreeningSubject, SubjectKind
from backend.proofs.tasks import attest
from backend.screening.service import ScreeningLists
from tests.backend.accounts.site import sign, wallet
from tests.backend.api.test_access import routes, url_of
from tests.backend.api.whole import API, WALLETS, Floor, opened
from tests.backend.governance.samples import files
from tests.backend.pipeline.rooms import FIRST_DAY, MARKET_DATA
from tests.backend.proofs.world import EPOCH as PROOF_EPOCH
from tests.backend.proofs.world import OWNER, World

Do = Callable[[Floor], Awaitable[httpx.Response]]
Prepare = Callable[[Floor], Awaitable[None]]
READS = {"GET", "HEAD"}
EPOCH = epoch_of(FIRST_DAY)
EARLY_DAY = MARKET_DATA.days()[5]
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked, how it is answered, and the entries it leaves ("whose event", in order of index)."""

    name: str
    do: Do
    status: int
    leaves: tuple[str, ...] = ()
    before: Prepare | None = None


def asks(role: str, method: str, path: str, key: str = "key", **given: Any) -> Do:
    """Return a request of a role; "{trader}" and the like in path and body become addresses."""

    async def do(floor: Floor) -> httpx.Response:
        filled = _filled(given, floor)
        headers = {"Idempotency-Key": key}
        return await floor[role].request(method, API + path.format(**floor.addresses), headers=headers, **filled)

    return do


def _filled(value: Any, floor: Floor) -> Any:
    if isinstance(value, str):
        return floor.addresses.get(value.strip("{}"), value) if value.startswith("{") else value
    if isinstance(value, Mapping):
        return {name: _filled(part, floor) for name, part in value.items()}
    return [_filled(part, floor) for part in value] if isinstance(value, list) else value


def order(side: str, quantity: str, instrument: str = "AAPL") -> dict[str, Any]:
    return {"decision": {"kind": "person", "instrument": instrument, "side": side, "quantity": quantity}}


def place(side: str, quantity: str, key: str = "key") -> Do:
    return asks("trader", "POST", "/orders", key, json=order(side, quantity))


async def sign_in(floor: Floor, who: str, *, forged: bool = False) -> httpx.Response:
    client, signer = floor["stranger"], wallet(who)
    text = await floor.whole.site.message(client, signer)
    signature = sign(wallet("somebody else") if forged else signer, text)
    return await client.post(f"{API}/auth/login", json={"message": text, "signature": signature})


async def log_in(floor: Floor) -> httpx.Response:
    return await sign_in(floor, "trader")


async def log_in_anew(floor: Floor) -> httpx.Response:
    return await sign_in(floor, "new")


async def log_in_forged(floor: Floor) -> httpx.Response:
    return await sign_in(floor, "trader", forged=True)


async def refresh_with_a_used_cookie(floor: Floor) -> httpx.Response:
    used = floor["trader"].cookies["refi_refresh"]
    (await floor["trader"].post(f"{API}/auth/refresh")).raise_for_status()
    return await floor["stranger"].post(f"{API}/auth/refresh", headers={"Cookie": f"refi_refresh={used}"})


async def refresh_with_it_again(floor: Floor) -> httpx.Response:
    return await floor["trader"].post(f"{API}/auth/refresh")


async def silent_venue(floor: Floor) -> None:
    floor.whole.broker.answer = Unknown("timeout")


async def unknown_order(floor: Floor) -> None:
    await silent_venue(floor)
    (await place("buy", "1", "unknown")(floor)).raise_for_status()


async def cancel(floor: Floor) -> httpx.Response:
    listed = (await floor["trader"].get(f"{API}/orders")).json()["orders"]
    return await floor["trader"].delete(f"{API}/orders/{listed[0]['order_id']}")


def halt(step: str, role: str = "trader") -> Do:
    return asks(role, "POST", f"/halts/1/{step}", json={"reason": "looked at"})


def trip(scope: str, role: str) -> Do:
    return asks(role, "POST", "/halts", json={"scope": scope, "reason": "enough"})


async def tripped(floor: Floor) -> None:
    (await trip("account", "trader")(floor)).raise_for_status()


async def reviewed(floor: Floor) -> None:
    await tripped(floor)
    (await halt("review")(floor)).raise_for_status()


async def submit(floor: Floor) -> httpx.Response:
    body = {"files": {name: base64.b64encode(content).decode() for name, content in files().items()}}
    return await floor["operator"].post(f"{API}/governance/models", json=body)


async def voted(floor: Floor) -> None:
    (await submit(floor)).raise_for_status()
    floor.whole.governance.proposal = ProposalState.SUCCEEDED


async def queued(floor: Floor) -> None:
    await voted(floor)
    (await relay("queue")(floor)).raise_for_status()


def relay(step: str) -> Do:
    async def do(floor: Floor) -> httpx.Response:
        listed = (await floor["operator"].get(f"{API}/governance/models")).json()["items"]
        return await floor["operator"].post(f"{API}/governance/models/{listed[0]['sha256']}/{step}")

    return do


async def a_closed_epoch(floor: Floor) -> None:
    (await asks("operator", "POST", "/epochs/close", json={"epoch": EPOCH})(floor)).raise_for_status()


async def a_job(floor: Floor) -> None:
    await a_closed_epoch(floor)
    asked = asks("trader", "POST", "/proofs/var", json={"subject": "{trader}", "epoch": EPOCH})
    (await asked(floor)).raise_for_status()


async def cancel_job(floor: Floor) -> httpx.Response:
    async with floor.whole.database.transaction() as session:
        job_id = await add_job(session, "proofs.attest", {}, "known", None)
        await session.execute(update(Job).where(Job.id == job_id).values(account_id=4))
    return await floor["trader"].delete(f"{API}/jobs/{job_id}")


async def a_lost_fill(floor: Floor) -> None:
    (await place("buy", "1", "lost")(floor)).raise_for_status()
    floor.whole.broker.told = lambda books: books[1:]


async def placed(floor: Floor) -> None:
    (await place("buy", "1")(floor)).raise_for_status()


async def a_case(floor: Floor) -> None:
    (await asks("trader", "POST", "/onboarding", json=PERSON)(floor)).raise_for_status()
    await floor.whole.onboarding.run_once()


async def a_pending_case(floor: Floor) -> None:
    floor.whole.identity_provider.finding = Finding.PENDING
    await a_case(floor)
    key = floor.whole.identity_provider.started[0].key
    told = ProviderEvent("event-1", f"ref-{key}", Finding.FAILED, floor.whole.clock.wall())
    floor.whole.identity_provider.events = {
        b"signed": told,
        b"of nobody": replace(told, event_id="event-2", reference="ref-0"),
    }


async def an_organisation(floor: Floor) -> None:
    (await asks("trader", "POST", "/onboarding", json=COMPANY)(floor)).raise_for_status()
    await floor.whole.onboarding.run_once()
    (await decide("approve")(floor)).raise_for_status()
    await floor.whole.onboarding.run_once()


async def an_invitation(floor: Floor) -> None:
    await an_organisation(floor)
    (await INVITE(floor)).raise_for_status()


async def a_member(floor: Floor) -> None:
    await an_invitation(floor)
    (await ACCEPT(floor)).raise_for_status()


def decide(verdict: str, role: str = "operator") -> Do:
    return asks(role, "POST", "/onboarding/1/decision", json={"verdict": verdict, "reason": "documents_verified"})


PERSON = {"kind": "person", "name": "Wilhelmina Quarterbridge", "birth_date": "1980-05-17", "country": "NL"}
NOT_BORN = {"birth_date": None}
COMPANY = {"kind": "organisation", "name": "Quarterbridge Holding", "country": "NL"}
INVITE = asks("trader", "POST", "/onboarding/members", json={"address": "{regulator}"})
ACCEPT = asks("regulator", "POST", "/onboarding/members/accept", json={"case_id": 1})
REMOVE = asks("trader", "DELETE", "/onboarding/members/{regulator}")


async def a_hit(floor: Floor) -> None:
    lists = floor.whole.site.app.state.services[ScreeningLists]
    await lists.update(Path("tests/vectors/screening/un.xml"), ListFormat.UN_XML, actor="operator")
    await floor.whole.screening.screen("case:1", ScreeningSubject(SubjectKind.PERSON, ("Oskar Drenovic",)))


def resolve_hit(role: str = "operator", hit: int = 1, reason: str = "another person") -> Do:
    body = {"decision": "cleared", "reason": reason}
    return asks(role, "POST", f"/compliance/screening/hits/{hit}/resolve", json=body)


CREDENTIAL = {"address": "{trader}", "type": "common.kyc"}
REVIEW = {"address": "{trader}", "note": "fine"}
LIMIT = {"address": "{trader}", "var_limit": "5"}
ERASURE = {"reason": "asked", "legal_basis": "GDPR 17"}
PROPOSAL = {"text": "Change a limit", "calls": [{"target": "{trader}", "function": "f(uint256)", "arguments": ["1"]}]}
DELEGATION = {"action": "delegate", "delegatee": "{trader}"}
RECONCILE = asks("operator", "POST", "/reconciliations", json={})
ACCOUNTS = ("trader", "regulator", "operator", "admin")
CLOSED = tuple(f"{name} epoch.closed" for name in ACCOUNTS)

CASES: Mapping[tuple[str, str], tuple[Case, ...]] = {
    ("POST", "/auth/nonce"): (Case("a nonce", asks("stranger", "POST", "/auth/nonce"), 200),),
    ("POST", "/auth/login"): (
        Case("a known wallet", log_in, 200, ("trader login",)),
        Case("a new wallet", log_in_anew, 200, ("new account.opened", "new login")),
        Case("another's signature", log_in_forged, 401, ("system login.failed",)),
        Case("not a message", asks("stranger", "POST", "/auth/login", json={}), 422),
    ),
    ("POST", "/auth/refresh"): (
        Case("a good cookie", asks("trader", "POST", "/auth/refresh"), 200),
        Case("a used cookie", refresh_with_a_used_cookie, 401, ("trader session.reuse_detected",)),
        Case("a cookie of an ended session", refresh_with_it_again, 401),
        Case("no cookie", asks("stranger", "POST", "/auth/refresh"), 401),
    ),
    ("POST", "/auth/logout"): (
        Case("a session", asks("trader", "POST", "/auth/logout"), 204, ("trader logout",)),
        Case("again", asks("trader", "POST", "/auth/logout"), 204),
    ),
    ("POST", "/accounts/{address}/roles"): (
        Case(
            "one more",
            asks("admin", "POST", "/accounts/{trader}/roles", json={"role": "regulator"}),
            200,
            ("system account.roles_changed",),
        ),
        Case("again", asks("admin", "POST", "/accounts/{trader}/roles", json={"role": "regulator"}), 200),
        Case("by a trader", asks("trader", "POST", "/accounts/{trader}/roles", json={"role": "admin"}), 403),
    ),
    ("PUT", "/accounts/{address}/roles"): (
        Case(
            "another set",
            asks("admin", "PUT", "/accounts/{trader}/roles", json={"roles": ["operator"]}),
            200,
            ("system account.roles_changed",),
        ),
        Case("again", asks("admin", "PUT", "/accounts/{trader}/roles", json={"roles": ["operator"]}), 200),
        Case("without the last admin", asks("admin", "PUT", "/accounts/{admin}/roles", json={"roles": []}), 409),
    ),
    ("POST", "/market/clock/advance"): (
        Case(
            "a day",
            asks("operator", "POST", "/market/clock/advance"),
            200,
            (
                "trader reconciliation.completed",
                *CLOSED,
                "system reconciliation.summarised",
                "system market.day_opened",
            ),
            placed,
        ),
        Case("by a trader", asks("trader", "POST", "/market/clock/advance"), 403),
    ),
    ("POST", "/compliance/credentials"): (
        Case(
            "a credential",
            asks("operator", "POST", "/compliance/credentials", json=CREDENTIAL),
            201,
            ("system credential.issued",),
        ),
    ),
    ("DELETE", "/compliance/credentials"): (
        Case(
            "a credential",
            asks("operator", "DELETE", "/compliance/credentials", params=CREDENTIAL),
            200,
            ("system credential.revoked",),
        ),
    ),
    ("POST", "/compliance/screening/hits/{hit_id}/resolve"): (
        Case("a hit", resolve_hit(), 200, ("system screening.resolved",), a_hit),
        Case("again", resolve_hit(), 409),
        Case("by a trader", resolve_hit("trader"), 403),
        Case("an unknown one", resolve_hit(hit=404), 404),
        Case("without a reason", resolve_hit(reason=""), 422),
    ),
    ("POST", "/onboarding"): (
        Case("a person", asks("trader", "POST", "/onboarding", json=PERSON), 201, ("trader onboarding.started",)),
        Case("again", asks("trader", "POST", "/onboarding", json=PERSON), 409),
        Case("a person without a birth date", asks("trader", "POST", "/onboarding", json=PERSON | NOT_BORN), 422),
        Case("nobody", asks("stranger", "POST", "/onboarding", json=PERSON), 401),
    ),
    ("DELETE", "/onboarding/me"): (
        Case("a case", asks("trader", "DELETE", "/onboarding/me"), 200, ("trader onboarding.withdrawn",), a_case),
        Case("again", asks("trader", "DELETE", "/onboarding/me"), 404),
    ),
    ("POST", "/onboarding/webhook"): (
        Case(
            "a finding",
            asks("stranger", "POST", "/onboarding/webhook", content=b"signed"),
            200,
            ("trader onboarding.needs_review",),
            a_pending_case,
        ),
        Case("again", asks("stranger", "POST", "/onboarding/webhook", content=b"signed"), 200),
        Case("a review of nobody's", asks("stranger", "POST", "/onboarding/webhook", content=b"of nobody"), 404),
        Case("what is too long", asks("stranger", "POST", "/onboarding/webhook", content=b"x" * 16_385), 413),
    ),
    ("POST", "/onboarding/{case_id}/disclosure"): (
        Case(
            "a case",
            asks("operator", "POST", "/onboarding/1/disclosure"),
            200,
            ("system onboarding.disclosed",),
            a_case,
        ),
        Case("no case", asks("operator", "POST", "/onboarding/2/disclosure"), 404),
        Case("by a trader", asks("trader", "POST", "/onboarding/1/disclosure"), 403),
    ),
    ("POST", "/onboarding/{case_id}/decision"): (
        Case("a case", decide("approve"), 200, ("trader onboarding.approved",), a_case),
        Case("again", decide("approve"), 409),
        Case("by a trader", decide("approve", "trader"), 403),
    ),
    ("POST", "/onboarding/members"): (
        Case("a wallet", INVITE, 201, ("trader onboarding.member_invited",), an_organisation),
        Case("again", INVITE, 409),
    ),
    ("POST", "/onboarding/members/accept"): (
        Case("an invitation", ACCEPT, 200, ("trader onboarding.member_accepted",), an_invitation),
        Case("again", ACCEPT, 409),
    ),
    ("DELETE", "/onboarding/members/{address}"): (
        Case("a wallet", REMOVE, 204, ("trader onboarding.member_leaving",), a_member),
        Case("a wallet of none", asks("trader", "DELETE", "/onboarding/members/{admin}"), 404),
    ),
    ("POST", "/compliance/check"): (
        Case("an order", asks("trader", "POST", "/compliance/check", json=order("buy", "1")), 200),
        Case("no such instrument", asks("trader", "POST", "/compliance/check", json=order("buy", "1", "NOPE")), 404),
        Case("nobody", asks("stranger", "POST", "/compliance/check", json=order("buy", "1")), 401),
    ),
    ("POST", "/orders"): (
        Case("a fill", place("buy", "1"), 201, ("trader order.filled",)),
        Case("the same key", place("buy", "1"), 201),
        Case("the key with another order", place("buy", "2"), 422),
        Case("a refusal", place("sell", "9", "refused"), 422, ("trader order.refused",)),
        Case("the refusal's key", place("sell", "9", "refused"), 422),
        Case("no such instrument", asks("trader", "POST", "/orders", "x", json=order("buy", "1", "NOPE")), 404),
        Case("silence", place("buy", "1", "silence"), 202, ("trader order.unknown",), silent_venue),
        Case("nobody", asks("stranger", "POST", "/orders", json=order("buy", "1")), 401),
    ),
    ("POST", "/orders/batch"): (
        Case(
            "three",
            asks(
                "trader",
                "POST",
                "/orders/batch",
                json={"orders": [order("buy", "1"), order("sell", "5"), order("buy", "1", "NOPE")]},
            ),
            200,
            ("trader order.filled", "trader order.refused"),
        ),
        Case(
            "again",
            asks(
                "trader",
                "POST",
                "/orders/batch",
                json={"orders": [order("buy", "1"), order("sell", "5"), order("buy", "1", "NOPE")]},
            ),
            200,
        ),
    ),
    ("DELETE", "/orders/{order_id}"): (
        Case("an order of unknown fate", cancel, 200, ("trader order.cancelled",), unknown_order),
        Case("again", cancel, 409),
    ),
    ("POST", "/reconciliations"): (
        Case(
            "nothing yet",
            asks("operator", "POST", "/reconciliations", json={}),
            201,
            ("system reconciliation.summarised",),
        ),
        Case(
            "a difference",
            RECONCILE,
            201,
            ("trader reconciliation.completed", "system halt.tripped", "system reconciliation.summarised"),
            a_lost_fill,
        ),
        Case("again", RECONCILE, 201),
        Case("tomorrow", asks("operator", "POST", "/reconciliations", json={"day": "2017-01-03"}), 409),
    ),
    ("POST", "/halts"): (
        Case("one's own", trip("account", "trader"), 201, ("system halt.tripped",)),
        Case("again", trip("account", "trader"), 409),
        Case("everybody's", trip("platform", "operator"), 201, ("system halt.tripped",)),
        Case("everybody's, by a trader", trip("platform", "trader"), 403),
    ),
    ("POST", "/halts/{halt_id}/review"): (
        Case("a halt", halt("review"), 200, ("system halt.reviewed",), tripped),
        Case("again", halt("review"), 409),
    ),
    ("POST", "/halts/{halt_id}/rearm"): (
        Case("a halt", halt("rearm"), 200, ("system halt.rearmed",), reviewed),
        Case("again", halt("rearm"), 409),
    ),
    ("POST", "/risk/reviews"): (
        Case(
            "a review",
            asks("operator", "POST", "/risk/reviews", json=REVIEW),
            201,
            ("system risk.performance_reviewed",),
        ),
    ),
    ("PUT", "/risk/limits"): (
        Case("a limit", asks("operator", "PUT", "/risk/limits", json=LIMIT), 200, ("system risk.limit_changed",)),
        Case("again", asks("operator", "PUT", "/risk/limits", json=LIMIT), 200),
    ),
    ("POST", "/anchors"): (Case("an anchor", asks("operator", "POST", "/anchors"), 202, ("system anchor.requested",)),),
    ("POST", "/epochs/close"): (
        Case(
            "today",
            asks("operator", "POST", "/epochs/close", json={"epoch": EPOCH}),
            200,
            (*CLOSED, "system reconciliation.summarised"),
        ),
        Case("again", asks("operator", "POST", "/epochs/close", json={"epoch": EPOCH}), 200),
        Case("tomorrow", asks("operator", "POST", "/epochs/close", json={"epoch": EPOCH + 1}), 409),
    ),
    ("POST", "/returns/publish"): (
        Case(
            "a day",
            asks("operator", "POST", "/returns/publish", json={"day": FIRST_DAY.isoformat()}),
            200,
            ("system returns.published",),
        ),
        Case("again", asks("operator", "POST", "/returns/publish", json={"day": FIRST_DAY.isoformat()}), 200),
        Case(
            "a day with too few before it",
            asks("operator", "POST", "/returns/publish", json={"day": EARLY_DAY.isoformat()}),
            422,
            ("system returns.refused",),
        ),
    ),
    ("POST", "/proofs/var"): (
        Case("not closed", asks("trader", "POST", "/proofs/var", json={"subject": "{trader}", "epoch": EPOCH}), 404),
        Case(
            "one's own",
            asks("trader", "POST", "/proofs/var", json={"subject": "{trader}", "epoch": EPOCH}),
            202,
            ("trader var.requested",),
            a_closed_epoch,
        ),
        Case("another's", asks("trader", "POST", "/proofs/var", json={"subject": "{admin}", "epoch": EPOCH}), 403),
    ),
    ("POST", "/governance/models"): (
        Case("a model", submit, 201, ("system model.proposed",)),
        Case("again", submit, 201),
    ),
    ("POST", "/governance/models/{sha256}/queue"): (
        Case("a proposal that succeeded", relay("queue"), 200, ("system proposal.queued",), voted),
        Case("again", relay("queue"), 409),
    ),
    ("POST", "/governance/models/{sha256}/execute"): (
        Case(
            "a proposal that waited",
            relay("execute"),
            200,
            ("system proposal.executed", "system model.production"),
            queued,
        ),
        Case("again", relay("execute"), 409),
    ),
    ("POST", "/governance/proposals"): (
        Case("what a wallet signs", asks("trader", "POST", "/governance/proposals", json=PROPOSAL), 200),
        Case("nobody", asks("stranger", "POST", "/governance/proposals", json=PROPOSAL), 401),
    ),
    ("POST", "/governance/transactions"): (
        Case("what a wallet signs", asks("trader", "POST", "/governance/transactions", json=DELEGATION), 200),
        Case("half of a vote", asks("trader", "POST", "/governance/transactions", json={"action": "vote"}), 422),
    ),
    ("POST", "/erasures"): (
        Case(
            "what the law keeps",
            asks("trader", "POST", "/erasures", json=ERASURE),
            200,
            ("trader erasure.refused",),
        ),
        Case("another's", asks("trader", "POST", "/erasures", json=ERASURE | {"account": "{admin}"}), 403),
    ),
    ("DELETE", "/jobs/{job_id}"): (
        Case("a job", cancel_job, 200, ("trader job.cancelled",), a_job),
        Case("again", cancel_job, 409),
    ),
}


@pytest.fixture
async def floor(database: Database, tmp_path: Path) -> AsyncIterator[Floor]:
    async with opened(database, tmp_path) as made:
        yield made


def test_every_mutating_route_says_what_it_leaves() -> None:
    assert {(method, path) for method, path in routes() if method not in READS} == set(CASES)


@pytest.mark.parametrize("route", CASES, ids=" ".join)
async def test_a_route_leaves_exactly_the_entries_that_it_says(route: tuple[str, str], floor: Floor) -> None:
    for case in CASES[route]:
        if case.before is not None:
            await case.before(floor)
        known = await floor.whole.count()
        answer = await case.do(floor)
        assert answer.status_code == case.status, f"{case.name}: {answer.text}"
        left = [entry for entry in await floor.whole.entries(known) if not entry.event.startswith("artifact.")]
        assert [f"{entry.who} {entry.event}" for entry in left] == list(case.leaves), case.name
        for entry in left:
            assert EVENTS[entry.event].allows(entry.who, entry.fields), entry


# What a reader gets to see of others' records is on record itself.
DISCLOSING: Mapping[str, tuple[str, str]] = {
    "/evidence/{index}/full": ("trader", "/evidence/{entry}/full"),
    "/evidence/accounts/{account}": ("trader", "/evidence/accounts/me"),
    "/evidence/accounts/{account}/heads": ("trader", "/evidence/accounts/me/heads"),
    "/evidence/heads/{anchor_index}": ("regulator", "/evidence/heads/0"),
}


def reading() -> list[str]:
    """Return the paths that are only read."""
    return sorted(path for method, path in routes() if method == "GET")


def test_every_disclosing_route_is_one_of_the_apis() -> None:
    assert set(DISCLOSING) <= set(reading())


async def test_reading_leaves_nothing(floor: Floor) -> None:
    await floor.whole.anchor()
    known = await floor.whole.count()
    for path in reading():
        for role in () if path in DISCLOSING else ("trader", "operator", "admin", "regulator"):
            await floor[role].get(url_of(path))
    assert Counter(entry.event for entry in await floor.whole.entries(known)) == {}


@pytest.mark.parametrize("path", DISCLOSING)
async def test_a_disclosure_leaves_one_entry(path: str, floor: Floor) -> None:
    entries = await floor.whole.entries()
    await floor.whole.anchor()
    mine = next(place for place, entry in enumerate(entries) if entry.who == "trader")
    known = await floor.whole.count()
    role, asked = DISCLOSING[path]
    answer = await floor[role].get(API + asked.format(entry=mine))
    assert answer.status_code == 200, answer.text
    left = await floor.whole.entries(known)
    assert [f"{entry.who} {entry.event}" for entry in left] == ["system evidence.disclosed"]
    assert EVENTS["evidence.disclosed"].allows("system", left[0].fields)


async def test_a_strangers_failures_fill_the_log_no_faster_than_a_minute_allows(floor: Floor) -> None:
    known = await floor.whole.count()
    for _ in range(70):
        assert (await log_in_forged(floor)).status_code == 401
    left = Counter(entry.event for entry in await floor.whole.entries(known))
    assert left == {"login.failed": 60}


@pytest.mark.parametrize(("shares", "event"), [(10, "var.attested"), (11, "var.breach")])
async def test_what_comes_of_an_attestation_is_an_event_of_the_table(
    shares: int, event: str, database: Database
) -> None:
    world = World(database)
    await world.prepare(shares)
    await world.attest()
    name, fields = (await world.events())[-1]
    assert name == event
    assert EVENTS[event].allows("trader", fields)


async def test_an_attestation_that_fails_leaves_the_kind_of_fault(database: Database) -> None:
    world = World(database)
    for prepared in (False, True):
        context = JobContext(database, "0" * 32, {"subject": OWNER.address, "epoch": PROOF_EPOCH}, 1)
        with pytest.raises(RefiError):
            await attest(world.attestations, context)
        async with database.reading() as session:
            last = (await session.scalars(select(RecordRow).order_by(RecordRow.id.desc()).limit(1))).one()
            account = await world.journal.system_account(session)
        assert last.event == "var.failed"
        fields = json.loads(last.fields)
        assert EVENTS["var.failed"].allows("either", fields)
        assert (last.account == account) is not prepared
        if not prepared:
            await world.prepare()
            world.anchors.sizes.clear()


async def test_an_erasure_leaves_an_event_of_the_table(floor: Floor) -> None:
    floor.whole.clock.advance(business=timedelta(days=3000))
    await floor.whole.anchor()
    known = await floor.whole.count()
    answer = await asks("trader", "POST", "/erasures", json=ERASURE)(floor)
    assert answer.status_code == 200, answer.text
    left = await floor.whole.entries(known)
    assert [entry.event for entry in left] == ["erasure"]
    assert EVENTS["erasure"].allows("trader", left[0].fields)


def test_the_page_of_events_is_the_table() -> None:
    assert Path("docs/events.md").read_text() == page(), "run python -m scripts.export_events"


def test_an_event_with_other_fields_or_on_another_chain_is_noticed() -> None:
    event = EVENTS["login"]
    assert event.allows("trader", ["method", *COMMON])
    assert not event.allows("trader", ["method", "password"])
    assert not event.allows("trader", [])
    assert not event.allows("system", ["method"])


def test_every_wallet_of_these_tests_has_an_account() -> None:
    assert set(WALLETS) == set(ACCOUNTS)
