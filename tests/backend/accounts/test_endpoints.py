"""Signing in over HTTP."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from backend.accounts.models import Account, RefreshFamily
from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.ports.journal import Recorded
from tests.backend.accounts.site import ORIGIN, Site, local_settings, sign, stamp, wallet
from tests.fakes import FakeJournal

TRADER, OTHER, ADMIN = wallet("trader"), wallet("other"), wallet("admin")
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Site:
    """Return a deployment whose first administrator is ADMIN."""
    return Site(database, local_settings(tmp_path, first_admin=ADMIN.address))


async def test_a_first_sign_in_opens_an_account_and_records_it(site: Site) -> None:
    async with site.browser() as browser:
        answer = await site.sign_in(browser, TRADER)
        me = (await browser.get("/api/v1/auth/me")).json()["user"]
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert me == answer.json()["user"]
    assert (me["address"], me["roles"], len(me["pseudonym"])) == (TRADER.address.lower(), ["trader"], 43)
    assert site.journal.events() == ["account.opened", "login"]
    assert {record.account for record in site.journal.records} == {me["pseudonym"]}
    assert set(site.journal.records[0].fields) == {"subject", "epoch", "position_commitment", "position_salt"}


async def test_a_second_sign_in_finds_the_same_account(site: Site) -> None:
    async with site.browser() as browser:
        first = (await site.sign_in(browser, TRADER)).json()["user"]
        second = (await site.sign_in(browser, TRADER)).json()["user"]
    assert first == second
    assert site.journal.events() == ["account.opened", "login", "login"]


async def test_the_refresh_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    async with site.browser() as browser:
        answer = await site.sign_in(browser, TRADER)
    cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith("refi_refresh="))
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/api/v1/auth" in cookie
    assert "refresh" not in answer.text


async def test_a_stranger_is_told_that_nobody_is_signed_in(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.get("/api/v1/auth/me")
    assert (answer.status_code, answer.json()) == (200, {"user": None})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"domain": "evil.example"}, "domain"),
        ({"domain": "127.0.0.1:8001"}, "domain"),
        ({"domain": "https://127.0.0.1:8000"}, "domain"),
        ({"domain": "127.0.0.1:800\u043e"}, "domain"),
        ({"uri": "http://evil.example"}, "uri"),
        ({"uri": "https://127.0.0.1:8000"}, "uri"),
        ({"uri": "http://127.0.0.1:8000@evil.example"}, "uri"),
        ({"chain_id": 1}, "chain_id"),
        ({"chain_id": 0}, "message_malformed"),
        ({"version": "2"}, "message_malformed"),
        ({"statement": "Give me everything"}, "statement"),
        ({"address": TRADER.address.lower()}, "message_malformed"),
        ({"resources": ["https://evil.example"]}, "resources"),
        ({"issued_at": timedelta(minutes=-6)}, "issued_at"),
        ({"issued_at": timedelta(minutes=6), "expiration_time": timedelta(minutes=10)}, "issued_at"),
        ({"issued_at": timedelta(days=-9131)}, "issued_at"),
        ({"issued_at": "2026-11-20T10:00:00"}, "message_malformed"),
        ({"expiration_time": None}, "expiration_time"),
        ({"expiration_time": timedelta(0)}, "expiration_time"),
        ({"expiration_time": timedelta(minutes=61)}, "expiration_time"),
        ({"not_before": timedelta(minutes=1)}, "not_before"),
    ],
)
async def test_a_message_that_breaks_a_rule_signs_nobody_in(site: Site, changes: dict[str, Any], reason: str) -> None:
    now = site.clock.wall()
    changes = {name: stamp(now + value) if isinstance(value, timedelta) else value for name, value in changes.items()}
    async with site.browser() as browser:
        text = await site.message(browser, TRADER, **changes)
        answer = await browser.post("/api/v1/auth/login", json={"message": text, "signature": sign(TRADER, text)})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].endswith(reason)
    assert site.journal.events() == ["login.failed"]


def _high_s(signature: str) -> str:
    raw = bytes.fromhex(signature[2:])
    twin = SECP256K1_ORDER - int.from_bytes(raw[32:64], "big")
    return "0x" + (raw[:32] + twin.to_bytes(32, "big") + bytes([55 - raw[64]])).hex()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_high_s, "signature_high_s"),
        (lambda _: "0x" + "00" * 65, "signature_malformed"),
        (lambda good: good[:-2] + "1d", "signature_malformed"),
        (lambda _: "0x" + "00" * 64 + "1b", "signature"),
        (lambda _: "0x" + "ff" * 32 + "11" * 32 + "1b", "signature"),
        (lambda good: good[:10] + ("0" if good[10] != "0" else "1") + good[11:], "signature"),
    ],
)
async def test_a_bad_signature_signs_nobody_in(site: Site, spoil: Any, reason: str) -> None:
    async with site.browser() as browser:
        text = await site.message(browser, TRADER)
        bad = spoil(sign(TRADER, text))
        answer = await browser.post("/api/v1/auth/login", json={"message": text, "signature": bad})
    assert answer.status_code == 401
    assert answer.json()["detail"].endswith(reason)


async def test_another_wallets_signature_signs_nobody_in(site: Site) -> None:
    async with site.browser() as browser:
        text = await site.message(browser, TRADER)
        answer = await browser.post("/api/v1/auth/login", json={"message": text, "signature": sign(OTHER, text)})
    assert answer.status_code == 401


async def test_fifty_replays_of_one_message_make_one_session(site: Site, database: Database) -> None:
    async with site.browser() as browser:
        text = await site.message(browser, TRADER)
        body = {"message": text, "signature": sign(TRADER, text)}
        cookies = dict(browser.cookies)

        async def replay() -> int:
            async with site.browser() as copy:
                copy.cookies.update(cookies)
                return (await copy.post("/api/v1/auth/login", json=body)).status_code

        statuses = await asyncio.gather(*(replay() for _ in range(50)))
    assert sorted(statuses) == [200] + [401] * 49
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(RefreshFamily)) == 1


async def test_a_nonce_is_good_only_in_the_browser_that_asked_for_it(site: Site) -> None:
    async with site.browser() as browser, site.browser() as thief:
        await site.message(thief, OTHER)
        text = await site.message(browser, TRADER)
        body = {"message": text, "signature": sign(TRADER, text)}
        assert (await thief.post("/api/v1/auth/login", json=body)).status_code == 401
        assert (await browser.post("/api/v1/auth/login", json=body)).status_code == 200


async def test_a_planted_browser_cookie_is_replaced(site: Site) -> None:
    async with site.browser() as browser:
        browser.cookies.set("refi_browser", "planted")
        answer = await browser.post("/api/v1/auth/nonce")
    assert "planted" not in answer.headers["set-cookie"]


async def test_a_nonce_expires(site: Site) -> None:
    async with site.browser() as browser:
        expires = stamp(site.clock.wall() + timedelta(minutes=30))
        text = await site.message(browser, TRADER, expiration_time=expires)
        site.clock.advance(wall=timedelta(minutes=5))
        answer = await browser.post("/api/v1/auth/login", json={"message": text, "signature": sign(TRADER, text)})
    assert answer.status_code == 401
    assert answer.json()["detail"].endswith("nonce")


async def test_a_failed_attempt_uses_the_nonce_up(site: Site) -> None:
    async with site.browser() as browser:
        text = await site.message(browser, TRADER)
        cookies = dict(browser.cookies)
        await browser.post("/api/v1/auth/login", json={"message": text, "signature": sign(OTHER, text)})
        browser.cookies.update(cookies)
        answer = await browser.post("/api/v1/auth/login", json={"message": text, "signature": sign(TRADER, text)})
    assert answer.status_code == 401


async def test_a_large_message_is_refused_before_it_is_parsed(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.post("/api/v1/auth/login", json={"message": "x" * 2100, "signature": "0x"})
    assert answer.status_code == 413


async def test_a_malformed_body_is_refused_without_being_quoted(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.post("/api/v1/auth/login", json={"message": "canary-value", "signature": "canary-value"})
    assert answer.status_code == 422
    assert "canary" not in answer.text


async def test_the_rate_limit_stops_attempts(database: Database, tmp_path: Path) -> None:
    site = Site(database, local_settings(tmp_path, login_attempts_per_minute=3))
    async with site.browser() as browser:
        statuses = [(await browser.post("/api/v1/auth/login", content=b"")).status_code for _ in range(5)]
    assert statuses == [422, 422, 422, 429, 429]


class SilentLimiter:
    """A limiter that does not answer."""

    async def allow(self, key: str, limit: int, window: timedelta) -> bool:
        """Fail."""
        del key, limit, window
        raise Unavailable("the rate limiter does not answer")

    async def close(self) -> None:
        """Do nothing."""


async def test_a_limiter_that_does_not_answer_closes_sign_in(database: Database, tmp_path: Path) -> None:
    site = Site(database, local_settings(tmp_path), limiter=SilentLimiter())
    async with site.browser() as browser:
        assert (await browser.post("/api/v1/auth/login", content=b"{}")).status_code == 503
        assert (await browser.post("/api/v1/auth/nonce")).status_code == 503


async def test_another_site_cannot_start_a_sign_in(site: Site) -> None:
    async with site.browser() as browser:
        for path in ("nonce", "login", "refresh", "logout"):
            url = f"/api/v1/auth/{path}"
            assert (await browser.post(url, headers={"Origin": "https://evil.example"})).status_code == 403
        assert (await browser.post("/api/v1/auth/nonce", headers={"Origin": ORIGIN})).status_code == 200


async def test_refreshing_rotates_the_cookie(site: Site) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser, TRADER)
        before = browser.cookies["refi_refresh"]
        answer = await browser.post("/api/v1/auth/refresh")
        assert answer.status_code == 200
        assert browser.cookies["refi_refresh"] != before
        assert (await browser.post("/api/v1/auth/refresh")).status_code == 200


async def test_a_refresh_token_used_twice_ends_the_session(site: Site) -> None:
    async with site.browser() as browser, site.browser() as thief:
        await site.sign_in(browser, TRADER)
        thief.cookies.set("refi_refresh", browser.cookies["refi_refresh"], path="/api/v1/auth")
        renewed = await browser.post("/api/v1/auth/refresh")
        assert (await thief.post("/api/v1/auth/refresh")).status_code == 401
        assert (await browser.post("/api/v1/auth/refresh")).status_code == 401
        bearer = {"Authorization": f"Bearer {renewed.json()['access_token']}"}
        assert (await browser.get("/api/v1/auth/me", headers=bearer)).status_code == 401
    assert site.journal.events()[-1] == "session.reuse_detected"


async def test_twenty_parallel_refreshes_leave_no_session(site: Site, database: Database) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser, TRADER)
        token = browser.cookies["refi_refresh"]

        async def refresh() -> int:
            async with site.browser() as copy:
                copy.cookies.set("refi_refresh", token, path="/api/v1/auth")
                return (await copy.post("/api/v1/auth/refresh")).status_code

        statuses = await asyncio.gather(*(refresh() for _ in range(20)))
    assert sorted(statuses) == [200] + [401] * 19
    async with database.reading() as session:
        family = (await session.scalars(select(RefreshFamily))).one()
    assert family.revoked_because == "reuse"


async def test_a_session_ends_with_its_lifetime(site: Site) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser, TRADER)
        site.clock.advance(wall=timedelta(minutes=15))
        assert (await browser.get("/api/v1/auth/me")).status_code == 401
        assert (await browser.post("/api/v1/auth/refresh")).status_code == 200
        site.clock.advance(wall=timedelta(days=7))
        assert (await browser.post("/api/v1/auth/refresh")).status_code == 401


async def test_signing_out_ends_access_at_once(site: Site) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser, TRADER)
        assert (await browser.post("/api/v1/auth/logout")).status_code == 204
        assert (await browser.get("/api/v1/auth/me")).status_code == 401
        assert (await browser.post("/api/v1/auth/refresh")).status_code == 401
    assert site.journal.events()[-1] == "logout"


async def test_the_first_administrator_is_named_by_the_settings_and_gives_roles(site: Site) -> None:
    async with site.browser() as admin, site.browser() as trader:
        assert (await site.sign_in(admin, ADMIN)).json()["user"]["roles"] == ["admin", "trader"]
        await site.sign_in(trader, TRADER)
        url = f"/api/v1/accounts/{TRADER.address}/roles"
        assert (await trader.put(url, json={"roles": ["admin"]})).status_code == 403
        assert (await admin.put(url, json={"roles": ["regulator"]})).json()["roles"] == ["regulator", "trader"]
        # Roles are read at every request: the token that was issued before needs no renewal.
        assert (await trader.get("/api/v1/auth/me")).json()["user"]["roles"] == ["regulator", "trader"]
    changes = [record for record in site.journal.records if record.event == "account.roles_changed"]
    assert [record.account for record in changes] == ["system", "system"]
    assert changes[1].fields["roles_after"] == ["regulator", "trader"]


async def test_one_more_role_leaves_the_others(site: Site) -> None:
    async with site.browser() as admin, site.browser() as trader:
        await site.sign_in(admin, ADMIN)
        await site.sign_in(trader, TRADER)
        url = f"/api/v1/accounts/{TRADER.address}/roles"
        assert (await trader.post(url, json={"role": "admin"})).status_code == 403
        await admin.post(url, json={"role": "operator"})
        answer = await admin.post(url, json={"role": "regulator"})
        assert (await admin.post(url, json={"role": "king"})).status_code == 422
    assert answer.json()["roles"] == ["operator", "regulator", "trader"]


async def test_the_last_administrator_cannot_step_down(site: Site) -> None:
    async with site.browser() as admin, site.browser() as trader:
        await site.sign_in(admin, ADMIN)
        await site.sign_in(trader, TRADER)
        own, other = (f"/api/v1/accounts/{who.address}/roles" for who in (ADMIN, TRADER))
        assert (await admin.put(own, json={"roles": []})).status_code == 409
        assert (await admin.put(other, json={"roles": ["admin"]})).status_code == 200
        assert (await admin.put(own, json={"roles": []})).status_code == 200
        assert (await admin.get("/api/v1/accounts")).status_code == 403


async def test_roles_of_an_unknown_wallet_cannot_be_set(site: Site) -> None:
    async with site.browser() as admin:
        await site.sign_in(admin, ADMIN)
        answer = await admin.put(f"/api/v1/accounts/{OTHER.address}/roles", json={"roles": []})
    assert answer.status_code == 404


async def test_accounts_are_listed_page_by_page(site: Site) -> None:
    async with site.browser() as admin:
        await site.sign_in(admin, ADMIN)
        for name in ("one", "two"):
            async with site.browser() as browser:
                await site.sign_in(browser, wallet(name))
        first = (await admin.get("/api/v1/accounts", params={"limit": 2})).json()
        second = (await admin.get("/api/v1/accounts", params={"limit": 2, "before": first["next_before"]})).json()
    assert [row["account_id"] for row in first["items"] + second["items"]] == [3, 2, 1]
    assert second["next_before"] is None


class BrokenJournal(FakeJournal):
    """A journal that does not answer."""

    async def record(self, *_arguments: Any, **_named: Any) -> Recorded:
        """Fail."""
        raise Unavailable("the log does not answer")


async def test_a_journal_fault_leaves_no_account_behind(site: Site, database: Database) -> None:
    broken_site = Site(database, site.settings, journal=BrokenJournal())
    async with broken_site.browser() as browser:
        assert (await broken_site.sign_in(browser, TRADER)).status_code == 503
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(Account)) == 0
