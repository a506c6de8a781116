"""Who may call which route: every route times every role."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from backend.accounts.types import Role
from backend.api.routes import ROUTERS
from backend.kit.db import Database
from tests.backend.accounts.site import Site, local_settings, wallet

PUBLIC: frozenset[Role] | None = None
ANY_ACCOUNT = frozenset(Role)
ADMIN = frozenset({Role.ADMIN})
OPERATOR = frozenset({Role.OPERATOR})

# What the route's own dependencies demand; what a service asks beyond it is tested with the service.
ACCESS: Mapping[tuple[str, str], frozenset[Role] | None] = {
    ("POST", "/auth/nonce"): PUBLIC,
    ("POST", "/auth/login"): PUBLIC,
    ("POST", "/auth/refresh"): PUBLIC,
    ("POST", "/auth/logout"): PUBLIC,
    ("GET", "/auth/me"): PUBLIC,
    ("GET", "/accounts"): ADMIN,
    ("POST", "/accounts/{address}/roles"): ADMIN,
    ("PUT", "/accounts/{address}/roles"): ADMIN,
    ("GET", "/market/instruments"): PUBLIC,
    ("GET", "/market/bars"): PUBLIC,
    ("GET", "/market/clock"): PUBLIC,
    ("POST", "/market/clock/advance"): OPERATOR | ADMIN,
    ("POST", "/compliance/credentials"): OPERATOR,
    ("DELETE", "/compliance/credentials"): OPERATOR,
    ("GET", "/compliance/me"): ANY_ACCOUNT,
    ("GET", "/compliance/screening/lists"): OPERATOR,
    ("GET", "/compliance/screening/hits"): OPERATOR,
    ("POST", "/compliance/screening/hits/{hit_id}/resolve"): OPERATOR,
    ("POST", "/onboarding"): ANY_ACCOUNT,
    ("GET", "/onboarding/me"): ANY_ACCOUNT,
    ("DELETE", "/onboarding/me"): ANY_ACCOUNT,
    ("GET", "/onboarding/queue"): OPERATOR,
    ("POST", "/onboarding/webhook"): PUBLIC,
    ("POST", "/onboarding/members"): ANY_ACCOUNT,
    ("POST", "/onboarding/members/accept"): ANY_ACCOUNT,
    ("DELETE", "/onboarding/members/{address}"): ANY_ACCOUNT,
    ("GET", "/onboarding/{case_id}"): OPERATOR,
    ("POST", "/onboarding/{case_id}/disclosure"): OPERATOR,
    ("POST", "/onboarding/{case_id}/decision"): OPERATOR,
    ("POST", "/compliance/check"): ANY_ACCOUNT,
    ("POST", "/orders"): ANY_ACCOUNT,
    ("POST", "/orders/batch"): ANY_ACCOUNT,
    ("GET", "/orders"): ANY_ACCOUNT,
    ("GET", "/orders/{order_id}"): ANY_ACCOUNT,
    ("DELETE", "/orders/{order_id}"): ANY_ACCOUNT,
    ("GET", "/positions"): ANY_ACCOUNT,
    ("GET", "/risk/me"): ANY_ACCOUNT,
    ("GET", "/risk/{address}"): OPERATOR | {Role.REGULATOR},
    ("POST", "/halts"): ANY_ACCOUNT,
    ("POST", "/halts/{halt_id}/review"): ANY_ACCOUNT,
    ("POST", "/halts/{halt_id}/rearm"): ANY_ACCOUNT,
    ("POST", "/risk/reviews"): OPERATOR,
    ("PUT", "/risk/limits"): OPERATOR,
    ("GET", "/fees/me"): ANY_ACCOUNT,
    ("POST", "/reconciliations"): OPERATOR,
    ("GET", "/reconciliations"): PUBLIC,
    ("GET", "/reconciliations/{day}"): OPERATOR | {Role.REGULATOR},
    ("GET", "/log/checkpoint"): PUBLIC,
    ("GET", "/log/tile/entries/{path:path}"): PUBLIC,
    ("GET", "/log/tile/{level}/{path:path}"): PUBLIC,
    ("GET", "/log/proof/inclusion"): PUBLIC,
    ("GET", "/log/proof/consistency"): PUBLIC,
    ("GET", "/log/anchors"): PUBLIC,
    ("GET", "/log/entries/{index}/state"): PUBLIC,
    ("POST", "/anchors"): OPERATOR,
    ("POST", "/epochs/close"): OPERATOR,
    ("POST", "/returns/publish"): OPERATOR,
    ("POST", "/proofs/var"): ANY_ACCOUNT,
    ("GET", "/proofs/var"): PUBLIC,
    ("GET", "/proofs/var/chain"): PUBLIC,
    ("GET", "/artifacts"): PUBLIC,
    ("GET", "/artifacts/{cid}"): PUBLIC,
    ("POST", "/governance/models"): OPERATOR,
    ("GET", "/governance/models"): PUBLIC,
    ("GET", "/governance/models/{sha256}"): PUBLIC,
    ("POST", "/governance/models/{sha256}/queue"): OPERATOR,
    ("POST", "/governance/models/{sha256}/execute"): OPERATOR,
    ("GET", "/governance/proposals"): PUBLIC,
    ("GET", "/governance/proposals/{proposal_id}"): PUBLIC,
    ("POST", "/governance/proposals"): ANY_ACCOUNT,
    ("POST", "/governance/transactions"): ANY_ACCOUNT,
    ("GET", "/governance/params"): PUBLIC,
    ("GET", "/governance/power/{address}"): PUBLIC,
    ("GET", "/governance/staking"): PUBLIC,
    ("GET", "/governance/staking/{address}"): PUBLIC,
    ("GET", "/evidence/{index}"): PUBLIC,
    ("GET", "/evidence/{index}/full"): ANY_ACCOUNT,
    ("GET", "/evidence/accounts/{account}"): ANY_ACCOUNT,
    ("GET", "/evidence/accounts/{account}/heads"): ANY_ACCOUNT,
    ("GET", "/evidence/heads/{anchor_index}"): frozenset({Role.REGULATOR}),
    ("POST", "/erasures"): ANY_ACCOUNT,
    ("GET", "/jobs/{job_id}"): ANY_ACCOUNT,
    ("DELETE", "/jobs/{job_id}"): ANY_ACCOUNT,
}
VALUES = {
    "address": "0x" + "11" * 20,
    "job_id": "0" * 32,
    "order_id": "0" * 32,
    "day": "2016-06-01",
    "sha256": "0" * 64,
    "cid": "b" + "a" * 58,
    "path:path": "000",
}


class Silent:
    """A service that answers nothing: the routes are asked only whom they let in."""


class Everything(dict[type, object]):
    """Services of every type; the ones that sign-in needs are real."""

    def __contains__(self, _kind: object) -> bool:
        return True

    def __missing__(self, _kind: type) -> object:
        return Silent()


@pytest.fixture
async def clients(database: Database, tmp_path: Path) -> AsyncIterator[dict[Role | None, httpx.AsyncClient]]:
    """Yield a client a role, and one for a stranger under None."""
    chief = wallet("chief")
    site = Site(database, local_settings(tmp_path, first_admin=chief.address))
    site.app.state.services = Everything(site.app.state.services)
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(site.browser())
        await site.sign_in(admin, chief)
        made: dict[Role | None, httpx.AsyncClient] = {
            None: await stack.enter_async_context(site.browser()),
            Role.ADMIN: admin,
        }
        for role in (Role.TRADER, Role.REGULATOR, Role.OPERATOR):
            client = made[role] = await stack.enter_async_context(site.browser())
            await site.sign_in(client, wallet(role))
            await admin.put(f"/api/v1/accounts/{wallet(role).address}/roles", json={"roles": [role]})
        yield made


def routes() -> set[tuple[str, str]]:
    """Return the method and path of every route."""
    found = set()
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute), f"{route} needs a test of its own"
            found |= {(method, route.path) for method in route.methods or ()}
    return found


def test_every_route_says_who_may_call_it() -> None:
    assert routes() == set(ACCESS)


def url_of(path: str) -> str:
    """Fill a path's parameters in."""
    for part in path.split("{")[1:]:
        name = part.partition("}")[0]
        path = path.replace("{" + name + "}", VALUES.get(name, "1"))
    return "/api/v1" + path


async def test_every_route_lets_in_whom_it_says_and_nobody_else(
    clients: dict[Role | None, httpx.AsyncClient],
) -> None:
    wrong = []
    for (method, path), allowed in ACCESS.items():
        if path.startswith("/auth/"):
            continue  # These answer 401 for what is wrong with a sign-in; their own tests look at them.
        for role, client in clients.items():
            status = (await client.request(method, url_of(path), headers={"Idempotency-Key": "key"})).status_code
            if role is None:
                good = (status != 401) if allowed is None else (status == 401)
            else:
                # Every account is a trader too: nobody passes by that alone but where any account may.
                good = (status not in {401, 403}) if allowed is None or role in allowed else (status == 403)
            if not good or status == 405:
                wrong.append((method, path, role, status))
    assert wrong == []


async def test_a_token_that_is_not_good_is_refused_even_where_anybody_may_look(
    clients: dict[Role | None, httpx.AsyncClient],
) -> None:
    answer = await clients[None].get("/api/v1/auth/me", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 401
