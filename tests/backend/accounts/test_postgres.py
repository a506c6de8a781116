"""What only a database with parallel writers can get wrong."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend.accounts.models import Account, RefreshFamily
from backend.kit.db import Database
from tests.backend.accounts.site import Site, local_settings, sign, wallet

TRADER, ADMIN = wallet("trader"), wallet("admin")


@pytest.fixture
def site(postgres_database: Database, tmp_path: Path) -> Site:
    """Return a deployment on PostgreSQL."""
    return Site(postgres_database, local_settings(tmp_path, first_admin=ADMIN.address))


async def test_fifty_replays_of_one_message_make_one_session(site: Site) -> None:
    async with site.browser() as browser:
        text = await site.message(browser, TRADER)
        body, cookies = {"message": text, "signature": sign(TRADER, text)}, dict(browser.cookies)

        async def replay() -> int:
            async with site.browser() as copy:
                copy.cookies.update(cookies)
                return (await copy.post("/api/v1/auth/login", json=body)).status_code

        statuses = await asyncio.gather(*(replay() for _ in range(50)))
    assert sorted(statuses) == [200] + [401] * 49
    async with site.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(RefreshFamily)) == 1


async def test_first_sign_ins_in_parallel_open_one_account(site: Site) -> None:
    async def sign_in() -> int:
        async with site.browser() as browser:
            return (await site.sign_in(browser, TRADER)).status_code

    statuses = await asyncio.gather(*(sign_in() for _ in range(8)))
    assert statuses == [200] * 8
    async with site.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(Account)) == 1
    assert site.journal.events().count("account.opened") == 1


async def test_twenty_parallel_refreshes_leave_no_session(site: Site) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser, TRADER)
        token = browser.cookies["refi_refresh"]

        async def refresh() -> int:
            async with site.browser() as copy:
                copy.cookies.set("refi_refresh", token, path="/api/v1/auth")
                return (await copy.post("/api/v1/auth/refresh")).status_code

        statuses = await asyncio.gather(*(refresh() for _ in range(20)))
        assert (await browser.get("/api/v1/auth/me")).status_code == 401
    assert sorted(statuses) == [200] + [401] * 19


async def test_two_administrators_cannot_both_step_down(site: Site) -> None:
    second = wallet("second")
    async with site.browser() as one, site.browser() as two:
        await site.sign_in(one, ADMIN)
        await site.sign_in(two, second)
        await one.post(f"/api/v1/accounts/{second.address}/roles", json={"role": "admin"})
        answers = await asyncio.gather(
            one.put(f"/api/v1/accounts/{ADMIN.address}/roles", json={"roles": []}),
            two.put(f"/api/v1/accounts/{second.address}/roles", json={"roles": []}),
        )
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_roles_that_are_given_at_once_are_all_kept(site: Site) -> None:
    subject = wallet("subject")
    async with site.browser() as admin, site.browser() as browser:
        await site.sign_in(browser, subject)
        await site.sign_in(admin, ADMIN)
        given = [{"role": role} for role in ("operator", "regulator", "admin")]
        for _ in range(5):
            await admin.put(f"/api/v1/accounts/{subject.address}/roles", json={"roles": []})
            answers = await asyncio.gather(
                *(admin.post(f"/api/v1/accounts/{subject.address}/roles", json=role) for role in given)
            )
            assert [answer.status_code for answer in answers] == [200, 200, 200], [answer.text for answer in answers]
            kept = (await browser.get("/api/v1/auth/me")).json()["user"]["roles"]
            assert kept == ["admin", "operator", "regulator", "trader"]
