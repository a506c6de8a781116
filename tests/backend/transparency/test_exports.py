"""An account's pages hold all of its records, each page is what the verifier accepts, and only who may gets them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.accounts.endpoints import signed_in
from backend.accounts.types import Caller, Role
from backend.kernel.canonical import JsonValue, canonical_json, decode_bytes, encode_bytes
from backend.kernel.errors import NotFound, Unauthorized
from backend.kernel.heads import AccountHead, heads_root
from backend.kit.db import Base, Database
from backend.transparency.endpoints import router
from backend.transparency.engine.verifier import MAX_PACK_BYTES
from backend.transparency.service import AccountExports
from backend.transparency.types import NoParts
from tests.backend.transparency.desk import (
    FULL_CHECKS,
    OTHER,
    RETENTION,
    TRADER,
    WALLET,
    WORD,
    Desk,
    caller,
    passed,
    results,
)
from tests.conftest import import_every_model
from tests.fakes import client_of, serve

NOBODY = encode_bytes(b"\x07" * 32)
REGULATOR = caller(encode_bytes(b"\x03" * 32), Role.REGULATOR)
OWNER = caller(TRADER, Role.TRADER)
RECORDS = 23
CLOSED: dict[str, JsonValue] = {"subject": WALLET, "epoch": 16_953, "position_commitment": WORD}


@pytest.fixture
async def desk(database: Database) -> Desk:
    """Return a desk with five records of the trader below the second anchor, three of them below the first."""
    return await filled(database)


async def filled(database: Database, records: int = 5) -> Desk:
    """Return a desk where the trader has records between another's, anchored halfway and at the end, and one more."""
    made = Desk(database, NoParts())
    await made.log(TRADER, "account.opened", **CLOSED)
    for seq in range(2, records + 1):
        await made.log(TRADER, "order.filled", instrument="AAPL", price=str(seq), reason="r" * (seq % 3) * 40)
        await made.log(OTHER, "order.refused", reason="var_limit")
        if seq == (records + 1) // 2:
            await made.anchoring.anchor_now()
    await made.anchoring.anchor_now()
    await made.log(TRADER, "epoch.closed", **CLOSED)
    return made


async def pages(exports: AccountExports, who: Caller, account: str, limit: int) -> list[Any]:
    """Return every page of an account."""
    found, after, more = [], 0, True
    while more:
        page = await exports.page(who, account, after, limit)
        found.append(json.loads(page.pack))
        after, more = page.last_seq, page.more
    return found


def seqs(pack: Any) -> list[int]:
    return [entry["disclosed"]["seq"]["value"] for entry in pack["entries"]]


async def test_a_page_discloses_every_field_and_the_verifier_accepts_it(desk: Desk) -> None:
    (whole,) = await pages(desk.exports(), OWNER, "me", 1_000)
    assert seqs(whole) == [1, 2, 3, 4, 5]
    assert whole["entries"][1]["disclosed"]["price"]["value"] == "2"
    assert (whole["anchor"]["index"], whole["heads"]["count"], whole["heads"]["id"]) == (1, 5, TRADER)
    report = desk.check(whole)
    assert report.ok
    assert passed(report) >= set(FULL_CHECKS)


async def test_only_the_last_page_holds_the_head(desk: Desk) -> None:
    first, second, third = await pages(desk.exports(), OWNER, "me", 2)
    assert [seqs(page) for page in (first, second, third)] == [[1, 2], [3, 4], [5]]
    assert ["heads" in page for page in (first, second, third)] == [False, False, True]
    for page in (first, second, third):
        assert desk.check(page).ok
    assert {"account chain", "heads"} <= passed(desk.check(third))


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (lambda page: page["entries"].pop(1), "account chain"),
        (lambda page: page["entries"].pop(), "account chain"),
        (lambda page: page["entries"][1]["disclosed"]["price"].update(value="9"), "disclosed fields"),
        (lambda page: page["entries"][1]["disclosed"].pop("seq"), "disclosed fields"),
        (lambda page: page["heads"].update(count=4), "heads"),
    ],
)
async def test_a_changed_page_fails_by_name(desk: Desk, change: Callable[[Any], Any], failing: str) -> None:
    (whole,) = await pages(desk.exports(), OWNER, "me", 1_000)
    change(whole)
    assert results(desk.check(whole))[failing] == "fail"


async def test_what_is_not_anchored_yet_is_on_no_page(desk: Desk) -> None:
    exports = desk.exports()
    with pytest.raises(NotFound):
        await exports.page(OWNER, "me", 5, 10)
    await desk.anchoring.anchor_now()
    assert seqs(json.loads((await exports.page(OWNER, "me", 5, 10)).pack)) == [6]


async def test_before_the_first_anchor_there_is_no_page(database: Database) -> None:
    made = Desk(database, NoParts())
    await made.log(TRADER, "account.opened", **CLOSED)
    with pytest.raises(NotFound):
        await made.exports().page(OWNER, "me", 0, 10)


async def test_a_page_is_cut_where_it_would_grow_too_large(desk: Desk) -> None:
    whole = await pages(desk.exports(), OWNER, "me", 1_000)
    size = len(canonical_json(whole[0]["entries"][0]))
    cut = await pages(desk.exports(page_bytes=2 * size), OWNER, "me", 1_000)
    assert len(cut) >= 3
    assert [seq for page in cut for seq in seqs(page)] == [1, 2, 3, 4, 5]
    # Not even one that is larger than a page may be gets lost.
    assert [seqs(page) for page in await pages(desk.exports(page_bytes=1), OWNER, "me", 9)] == [[1], [2], [3], [4], [5]]


async def test_a_page_of_the_most_records_is_one_that_the_verifier_reads(database: Database) -> None:
    made = Desk(database, NoParts())
    fields: dict[str, JsonValue] = {f"field_{number:02}": "v" * 60 for number in range(25)}
    async with database.transaction() as session:
        for _ in range(1_200):
            await made.journal.record(session, TRADER, "order.filled", fields, actor="trader", policy="1")
    await made.log(OTHER, "account.opened", **CLOSED)
    await made.anchoring.anchor_now()
    page = await made.exports().page(OWNER, "me", 0, 1_000)
    assert page.more
    assert len(page.pack) < MAX_PACK_BYTES
    assert page.last_seq > 300


async def test_a_page_is_in_the_log_before_it_leaves(desk: Desk) -> None:
    await desk.exports().page(REGULATOR, WALLET, 1, 3)
    (logged,) = await desk.disclosures()
    assert (logged["actor"], logged["of_account"]) == (REGULATOR.pseudonym, TRADER)
    assert (logged["first_seq"], logged["last_seq"]) == (2, 4)
    assert (logged["first_entry"], logged["last_entry"]) == (1, 5)
    assert {"instrument", "price", "reason"} <= set(logged["fields"])


async def test_a_page_that_nobody_may_have_is_not_in_the_log(desk: Desk) -> None:
    stranger = caller(OTHER, Role.TRADER, Role.OPERATOR, Role.ADMIN)
    for account in (TRADER, WALLET, NOBODY, "0x" + "00" * 20, "system"):
        for ask in (desk.exports().page, desk.exports().heads):
            with pytest.raises(NotFound, match=r"^no such account$"):
                await ask(stranger, account, 0, 10)
    assert await desk.disclosures() == []


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with many records of the trader, some of them erased."""
    path = tmp_path_factory.mktemp("shelf") / "refi.sqlite3"

    async def make() -> None:
        async with opened(path) as database:
            made = await filled(database, RECORDS)
            made.clock.advance(business=2 * RETENTION)
            await made.erasures(at_most=7).erase(
                TRADER, before_epoch=None, reason="asked for", legal_basis="GDPR 17", operator=TRADER
            )

    asyncio.run(make())
    return path


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    """Open a database with every table."""
    import_every_model()
    database = Database(f"sqlite+aiosqlite:///{path}")
    try:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield database
    finally:
        await database.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=st.lists(st.integers(1, 30), min_size=1, max_size=6), page_bytes=st.integers(1, 300_000))
def test_the_pages_hold_every_record_once_and_in_order(shelf: Path, limits: list[int], page_bytes: int) -> None:
    async def read() -> None:
        async with opened(shelf) as database:
            desk = Desk(database, NoParts())
            exports = desk.exports(page_bytes)
            found: list[int] = []
            last, more = "", True
            while more:
                limit = limits[len(found) % len(limits)]
                page = await exports.page(OWNER, "me", len(found), limit)
                pack = json.loads(page.pack)
                assert desk.check(pack).ok
                assert 1 <= len(pack["entries"]) <= limit
                for entry in pack["entries"]:
                    if last:
                        assert entry["disclosed"]["prev"]["value"] == last
                    last = json.loads(entry["entry"])["c"]
                found += seqs(pack)
                more = page.more
            assert found == list(range(1, RECORDS + 1))
            assert (pack["heads"]["count"], pack["heads"]["head"]) == (RECORDS, last)

    asyncio.run(read())


async def test_the_heads_show_the_account_at_each_anchor(desk: Desk) -> None:
    page = await desk.exports().heads(OWNER, "me", -1, 1_000)
    heads: Any = page.heads
    assert [(one["anchor"]["index"], one["heads"]["count"]) for one in heads] == [(0, 3), (1, 5)]
    assert page.next_after is None
    whole: Any = (await pages(desk.exports(), OWNER, "me", 1_000))[0]
    for one in heads:
        last = next(entry for entry in whole["entries"] if entry["disclosed"]["seq"]["value"] == one["heads"]["count"])
        assert one["heads"]["head"] == json.loads(last["entry"])["c"]
        assert desk.check(whole | one | {"entries": whole["entries"][: one["heads"]["count"]]}).checks[10].result == (
            "pass"
        )
    assert (await desk.disclosures())[0]["last_anchor"] == 1


async def test_the_heads_come_in_pages_too(desk: Desk) -> None:
    first = await desk.exports().heads(OWNER, "me", -1, 1)
    second = await desk.exports().heads(OWNER, "me", 0, 1)
    assert (first.next_after, second.next_after) == (0, None)
    assert [page.heads[0]["anchor"]["index"] for page in (first, second)] == [0, 1]  # type: ignore[index, call-overload]
    with pytest.raises(NotFound):
        await desk.exports().heads(OWNER, "me", 1, 1)


async def test_a_page_of_heads_begins_where_the_account_does(desk: Desk) -> None:
    await desk.log(NOBODY, "account.opened", **CLOSED)
    await desk.anchoring.anchor_now()
    young = await desk.exports().heads(caller(NOBODY, Role.TRADER), "me", -1, 1)
    assert [one["anchor"]["index"] for one in young.heads] == [2]  # type: ignore[index, call-overload]
    assert young.next_after is None


async def test_a_page_of_heads_ends_where_it_would_take_too_many_accounts(desk: Desk) -> None:
    exports = desk.exports(page_heads=2)
    first = await exports.heads(OWNER, "me", -1, 1_000)
    assert (len(first.heads), first.next_after) == (1, 0)
    second = await exports.heads(OWNER, "me", 0, 1_000)
    assert (len(second.heads), second.next_after) == (1, None)
    assert [one["last_anchor"] for one in await desk.disclosures()] == [0, 1]


async def test_an_anchors_heads_make_up_its_root_and_name_no_account_twice(desk: Desk) -> None:
    shown: Any = await desk.exports().anchored_heads(REGULATOR.pseudonym, 1)
    heads = [AccountHead(decode_bytes(one["id"]), one["count"], decode_bytes(one["head"])) for one in shown["heads"]]
    assert encode_bytes(heads_root(heads)) == shown["anchor"]["heads_root"]
    assert heads == sorted(heads)
    assert {one.id for one in heads} == {decode_bytes(TRADER), decode_bytes(OTHER)}
    (logged,) = await desk.disclosures()
    assert (logged["actor"], logged["first_anchor"], logged["accounts"]) == (REGULATOR.pseudonym, 1, 2)
    with pytest.raises(NotFound):
        await desk.exports().anchored_heads(REGULATOR.pseudonym, 2)


async def test_a_regulator_may_export_the_systems_records(desk: Desk) -> None:
    await desk.exports().page(REGULATOR, TRADER, 0, 10)
    await desk.log(OTHER, "order.filled")
    await desk.anchoring.anchor_now()
    pack = json.loads((await desk.exports().page(REGULATOR, "system", 0, 10)).pack)
    assert "evidence.disclosed" in [entry["disclosed"]["event"]["value"] for entry in pack["entries"]]
    assert desk.check(pack).ok


async def test_over_http_owners_and_regulators_get_pages_and_nobody_else(desk: Desk) -> None:
    exports = desk.exports()
    app = serve({AccountExports: exports, Database: desk.database}, router)

    def nobody() -> Caller:
        raise Unauthorized("sign in first")

    people: dict[str, Callable[[], Caller]] = {
        "owner": lambda: OWNER,
        "other": lambda: caller(OTHER, Role.TRADER),
        "admin": lambda: caller(OTHER, Role.TRADER, Role.OPERATOR, Role.ADMIN),
        "regulator": lambda: REGULATOR,
        "stranger": nobody,
    }
    paths = {
        "page": f"/evidence/accounts/{TRADER}",
        "by wallet": f"/evidence/accounts/{WALLET}",
        "heads": f"/evidence/accounts/{TRADER}/heads",
        "anchored": "/evidence/heads/1",
        "missing": f"/evidence/accounts/{NOBODY}",
    }
    answers: dict[str, dict[str, int]] = {}
    bodies: dict[str, set[str]] = {}
    async with client_of(app) as client:
        for name, who in people.items():
            app.dependency_overrides[signed_in] = who
            found = {path: await client.get(url) for path, url in paths.items()}
            answers[name] = {path: answer.status_code for path, answer in found.items()}
            bodies[name] = {found[path].text for path in ("page", "by wallet", "heads", "missing")}
        app.dependency_overrides[signed_in] = people["owner"]
        first = await client.get("/evidence/accounts/me", params={"limit": 2})
        last = await client.get("/evidence/accounts/me", params={"after": 4, "limit": 2})
        none = await client.get("/evidence/accounts/me", params={"after": 5})
        wrong = [
            await client.get(f"/evidence/accounts/{path}")
            for path in ("me?limit=0", "me?limit=1001", "me?after=-1", "somebody", "0x12")
        ]
    assert answers == {
        "owner": {"page": 200, "by wallet": 200, "heads": 200, "anchored": 403, "missing": 404},
        "other": {"page": 404, "by wallet": 404, "heads": 404, "anchored": 403, "missing": 404},
        "admin": {"page": 404, "by wallet": 404, "heads": 404, "anchored": 403, "missing": 404},
        "regulator": {"page": 200, "by wallet": 200, "heads": 200, "anchored": 200, "missing": 404},
        "stranger": {"page": 401, "by wallet": 401, "heads": 401, "anchored": 401, "missing": 401},
    }
    # What is there and what is not answer alike to those who may see neither.
    assert len(bodies["other"]) == len(bodies["admin"]) == 1
    assert first.headers["link"] == '</evidence/accounts/me?after=2&limit=2>; rel="next"'
    assert first.headers["cache-control"] == "no-store"
    assert "link" not in last.headers
    assert none.status_code == 404
    assert {answer.status_code for answer in wrong} == {422}
