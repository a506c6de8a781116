"""The packs that are handed out are the packs that the verifier accepts, and show no more than they may."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from backend.accounts.endpoints import signed_in
from backend.accounts.types import Role
from backend.audit.service import LogReader
from backend.audit.types import StoredRecord
from backend.kernel.canonical import JsonValue
from backend.kernel.errors import Conflict, Invalid, NotFound
from backend.kit.db import Database
from backend.transparency.endpoints import router
from backend.transparency.service import PackBuilder
from backend.transparency.service.log_part import PACKS_AT_ONCE, RECORDS_AT_ONCE
from backend.transparency.types import NoParts
from tests.backend.transparency.desk import (
    FULL_CHECKS,
    LOG_CHECKS,
    ORIGIN,
    OTHER,
    TRADER,
    WALLET,
    WORD,
    Desk,
    FakeParts,
    caller,
    passed,
    results,
)
from tests.fakes import client_of, serve


@pytest.fixture
async def desk(database: Database) -> Desk:
    """Return a desk: entries 0 to 5 anchored, 6 and 7 only in the log. The trader's are 0, 1, 3, 4 and 6."""
    made = Desk(database, NoParts())
    closed: dict[str, JsonValue] = {"subject": WALLET, "epoch": 16_953, "position_commitment": WORD}
    await made.log(TRADER, "account.opened", **closed)
    await made.log(TRADER, "order.filled", instrument="AAPL", price="187.25")
    await made.log(OTHER, "account.opened", **closed)
    await made.log(TRADER, "order.refused", reason="var_limit")
    await made.log(TRADER, "epoch.closed", **closed)
    await made.log(OTHER, "order.filled", instrument="MSFT")
    await made.anchoring.anchor_now()
    await made.log(TRADER, "order.filled", instrument="AAPL")
    await made.log(OTHER, "order.filled", instrument="AAPL")
    return made


async def test_the_verifier_accepts_an_owners_pack(desk: Desk) -> None:
    pack = await desk.packs.owner(TRADER, 1)
    report = desk.check(pack)
    assert report.ok
    assert passed(report) >= set(FULL_CHECKS)
    assert results(report)["anchor on chain"] == "skipped"


async def test_an_owners_pack_shows_the_record_and_the_chain_to_the_anchored_head(desk: Desk) -> None:
    pack: Any = await desk.packs.owner(TRADER, 1)
    assert [entry["index"] for entry in pack["entries"]] == [1, 3, 4]
    named, between, closed = [set(entry["disclosed"]) for entry in pack["entries"]]
    assert named == {
        *("account", "actor", "clock", "event", "instrument"),
        *("policy", "prev", "price", "seq", "ts_event", "ts_recorded"),
    }
    assert between == {"account", "event", "prev", "seq"}
    assert closed == {"account", "epoch", "event", "position_commitment", "prev", "seq", "subject"}
    assert pack["entries"][0]["disclosed"]["price"]["value"] == "187.25"
    assert (pack["heads"]["id"], pack["heads"]["count"]) == (TRADER, 4)
    assert (pack["anchor"]["index"], pack["anchor"]["size"]) == (0, 6)
    assert pack["checkpoint"].split("\n")[1] == "8"


async def test_a_public_pack_holds_no_heads_and_no_disclosure(desk: Desk) -> None:
    pack: Any = await desk.builder(FakeParts()).public(1)
    assert [entry["disclosed"] for entry in pack["entries"]] == [{}]
    assert not {"heads", "model", "compliance", "var"} & pack.keys()
    assert passed(desk.check(pack)) == set(LOG_CHECKS)
    assert await desk.disclosures() == []


async def test_a_public_pack_of_an_attested_epoch_shows_what_the_attestation_names(desk: Desk) -> None:
    attested: Any = await desk.builder(FakeParts()).public(4)
    unattested: Any = await desk.packs.public(4)
    assert set(attested["entries"][0]["disclosed"]) == {"event", "subject", "epoch", "position_commitment"}
    assert attested["var"]["subject"] == WALLET
    assert "heads" not in attested
    assert unattested["entries"][0]["disclosed"] == {}
    assert "var" not in unattested


async def test_parts_of_other_stages_are_passed_on(desk: Desk) -> None:
    pack: Any = await desk.builder(FakeParts()).owner(TRADER, 1)
    assert pack["model"] == {"sha256": "0" * 64}
    assert pack["var"]["epoch"] == 16_953
    assert "compliance" not in pack


async def test_handing_out_a_disclosure_is_in_the_log(desk: Desk) -> None:
    await desk.packs.owner(TRADER, 3)
    await desk.packs.regulator(OTHER, 3)
    first, second = await desk.disclosures()
    assert (first["entry"], first["of_account"], first["actor"]) == (3, TRADER, TRADER)
    assert "reason" in first["fields"]
    assert second["actor"] == OTHER
    assert first["account"] not in {TRADER, OTHER}


async def test_nobody_gets_the_full_pack_of_anothers_record(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.packs.owner(OTHER, 1)
    assert await desk.disclosures() == []


async def test_an_entry_that_is_not_anchored_yet_or_not_there_has_no_pack(desk: Desk) -> None:
    with pytest.raises(Conflict):
        await desk.packs.owner(TRADER, 6)
    with pytest.raises(Conflict):
        await desk.packs.public(7)
    with pytest.raises(NotFound):
        await desk.packs.public(8)
    with pytest.raises(NotFound):
        await desk.packs.public(1, 1)
    await desk.anchoring.anchor_now()
    assert (await desk.packs.public(7))["format"] == "refi-evidence/1"


async def test_a_pack_can_name_an_earlier_anchor(desk: Desk) -> None:
    await desk.anchoring.anchor_now()
    earlier: Any = await desk.packs.owner(TRADER, 1, 0)
    latest: Any = await desk.packs.owner(TRADER, 1)
    assert [len(pack["entries"]) for pack in (earlier, latest)] == [3, 4]
    assert desk.check(earlier).ok
    assert desk.check(latest).ok


async def test_every_entrys_pack_verifies_after_every_growth(desk: Desk) -> None:
    await desk.anchoring.anchor_now()
    for index in range(8):
        public, full = await desk.packs.public(index), await desk.packs.regulator(OTHER, index)
        assert desk.check(public).ok
        assert passed(desk.check(full)) >= set(FULL_CHECKS)
        await desk.log(OTHER, "order.filled")


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (lambda pack: pack["entries"][0]["disclosed"]["price"].update(value="187.26"), "disclosed fields"),
        (lambda pack: pack["entries"].pop(1), "account chain"),
        (lambda pack: pack["entries"].pop(), "account chain"),
        (lambda pack: pack["entries"][0].update(index=2), "inclusion"),
        (lambda pack: pack["heads"].update(count=5), "heads"),
        (lambda pack: pack["anchor"].update(size=5), "consistency"),
        (lambda pack: pack.update(checkpoint=pack["checkpoint"].replace("\n8\n", "\n9\n")), "checkpoint signature"),
        (lambda pack: pack["anchor"].update(contract="0x" + "22" * 20), "log identity"),
    ],
)
async def test_a_changed_pack_fails_by_name(desk: Desk, change: Any, failing: str) -> None:
    pack: Any = await desk.packs.owner(TRADER, 1)
    change(pack)
    assert results(desk.check(pack))[failing] == "fail"


async def test_the_packs_have_the_shape_of_the_published_sample(desk: Desk) -> None:
    sample = json.loads((Path(__file__).parents[2] / "vectors" / "evidence" / "good" / "sample.refi.json").read_text())
    pack: Any = await desk.packs.owner(TRADER, 1)
    assert list(pack) == list(sample)
    for name in ("anchor", "heads"):
        assert set(pack[name]) == set(sample[name])
    assert set(pack["entries"][0]) == set(sample["entries"][0])
    assert set(pack["entries"][0]["disclosed"]["event"]) == set(sample["entries"][0]["disclosed"]["event"])


async def test_over_http_owner_and_regulator_get_full_packs_and_nobody_else(desk: Desk) -> None:
    app = serve({PackBuilder: desk.packs, Database: desk.database}, router)
    answers = {}
    async with client_of(app) as client:
        answers["public"] = await client.get("/evidence/1")
        for name, who in {
            "owner": caller(TRADER, Role.TRADER),
            "other": caller(OTHER, Role.TRADER, Role.OPERATOR, Role.ADMIN),
            "regulator": caller(OTHER, Role.REGULATOR),
        }.items():
            app.dependency_overrides[signed_in] = lambda who=who: who
            answers[name] = await client.get("/evidence/1/full")
        answers["missing"] = await client.get("/evidence/99/full")
        answers["not anchored"] = await client.get("/evidence/6")
        answers["malformed"] = await client.get("/evidence/-1")
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "public": 200,
        "owner": 200,
        "other": 404,
        "regulator": 200,
        "missing": 404,
        "not anchored": 409,
        "malformed": 422,
    }
    assert desk.check(answers["owner"].json()).ok
    assert answers["owner"].headers["cache-control"] == "no-store"
    assert len(await desk.disclosures()) == 2


async def test_only_the_fields_that_are_asked_for_are_disclosed(desk: Desk) -> None:
    pack: Any = await desk.packs.owner(TRADER, 1, fields=["price"])
    named, between, closed = [set(entry["disclosed"]) for entry in pack["entries"]]
    assert named == {"account", "event", "price", "seq"}
    assert between == closed == {"account", "event", "prev", "seq"}
    assert "AAPL" not in json.dumps(pack)
    report = desk.check(pack)
    assert report.ok
    assert passed(report) >= set(FULL_CHECKS)
    regulators: Any = await desk.packs.regulator(OTHER, 1, fields=["price"])
    assert regulators["entries"] == pack["entries"]


async def test_a_field_that_the_record_does_not_have_is_refused_with_what_it_has(desk: Desk) -> None:
    with pytest.raises(Invalid, match="no field fee; it has account, actor, clock, event, instrument"):
        await desk.packs.owner(TRADER, 1, fields=["price", "fee"])
    with pytest.raises(Invalid, match="it has"):
        await desk.packs.regulator(OTHER, 1, fields=[""])
    assert await desk.disclosures() == []
    # Whose record it is not learns nothing of its fields.
    with pytest.raises(NotFound):
        await desk.packs.owner(OTHER, 1, fields=["fee"])


async def test_a_part_leaves_only_with_the_fields_that_it_repeats(desk: Desk) -> None:
    grounds: dict[str, JsonValue] = {"model": "0" * 64, "features": "1" * 64, "action": "buy"}
    await desk.log(TRADER, "order.filled", **grounds)
    await desk.anchoring.anchor_now()
    builder = desk.builder(FakeParts())
    assert "model" not in await builder.owner(TRADER, 8, fields=["model", "features"])
    assert "model" in await builder.owner(TRADER, 8, fields=list(grounds))
    assert "var" not in await builder.owner(TRADER, 4, fields=["epoch", "subject"])
    assert "var" in await builder.owner(TRADER, 4, fields=["epoch", "subject", "position_commitment"])
    assert "var" not in await builder.owner(TRADER, 1, fields=["price"])


async def test_what_is_shown_of_single_fields_is_in_the_log(desk: Desk) -> None:
    await desk.packs.owner(TRADER, 1, fields=["price"])
    (logged,) = await desk.disclosures()
    assert logged["fields"] == ["account", "event", "price", "seq"]
    assert (logged["entry"], logged["first_seq"], logged["last_seq"]) == (1, 2, 4)
    assert (logged["actor"], logged["of_account"]) == (TRADER, TRADER)


async def test_over_http_fields_are_named_by_commas(desk: Desk) -> None:
    app = serve({PackBuilder: desk.packs, Database: desk.database}, router)
    app.dependency_overrides[signed_in] = lambda: caller(TRADER)
    async with client_of(app) as client:
        some = await client.get("/evidence/1/full", params={"fields": "price, instrument"})
        unknown = await client.get("/evidence/1/full", params={"fields": "salt"})
        nothing = await client.get("/evidence/1/full", params={"fields": ""})
    assert set(some.json()["entries"][0]["disclosed"]) == {"account", "event", "instrument", "price", "seq"}
    assert (unknown.status_code, nothing.status_code) == (422, 422)
    assert "instrument" in unknown.json()["detail"]


class Watched(LogReader):
    """A reader that counts how many read a chain at once, and how much they read at a time."""

    def __init__(self) -> None:
        self.now, self.most, self.longest = 0, 0, 0

    async def chain(self, *args: Any, **kwargs: Any) -> list[StoredRecord]:
        """Read slowly."""
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        found = await super().chain(*args, **kwargs)
        self.longest = max(self.longest, len(found))
        self.now -= 1
        return found


async def test_many_who_ask_for_long_chains_take_turns_and_read_in_pieces(desk: Desk) -> None:
    async with desk.database.transaction() as session:
        for _ in range(2 * RECORDS_AT_ONCE):
            await desk.journal.record(session, TRADER, "order.refused", {"reason": "r"}, actor="trader", policy="1")
    await desk.log(TRADER, "order.refused", reason="last")
    await desk.anchoring.anchor_now()
    reader = Watched()
    packs = PackBuilder(
        desk.database, reader, desk.anchoring, desk.journal, NoParts(), origin=ORIGIN, public_key=desk.key
    )
    first: Any
    first, *others = await asyncio.gather(*(packs.owner(TRADER, 0) for _ in range(2 * PACKS_AT_ONCE)))
    assert reader.most == PACKS_AT_ONCE
    assert reader.longest == RECORDS_AT_ONCE
    assert len(first["entries"]) > 2 * RECORDS_AT_ONCE
    assert all(other["entries"] == first["entries"] for other in others)
    assert desk.check(first).ok
