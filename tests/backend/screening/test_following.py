"""What follows from a screening: wallets are listed on chain, credentials go, and a new list reaches everybody."""

import pytest
from sqlalchemy import select

from backend.kernel.errors import NotFound, Unavailable
from backend.kit.models import Job
from backend.kit.queue import JobBoard, run_job
from backend.ports.screening import Outcome
from backend.screening.models import ScreeningRecord
from backend.screening.service import SETTLE_JOB, SWEEP_JOB, sweeping
from backend.screening.tasks import handlers
from backend.screening.types import Decision
from tests.backend.screening.room import CLEAN, OSKAR, THIEF, WALLET, Room, person

CASE = "case:1"


async def queued(room: Room, name: str) -> list[str]:
    async with room.database.reading() as session:
        return list(await session.scalars(select(Job.id).where(Job.name == name, Job.state == "queued")))


async def run_all(room: Room, name: str) -> None:
    for job in await queued(room, name):
        assert await run_job(room.database, handlers(room.sweep, room.blocks), job)


async def unsettled(room: Room) -> bool:
    async with room.database.reading() as session:
        record = await session.get(ScreeningRecord, CASE)
        assert record is not None
        return record.unsettled


async def test_a_blocked_wallet_loses_its_credential_and_stands_on_the_chains_list(room: Room) -> None:
    loaded = (await room.load(THIEF)).loaded
    await room.screening.screen(CASE, person("", WALLET))
    await run_all(room, SETTLE_JOB)
    assert room.on_chain.listed == {WALLET: bytes.fromhex(loaded.version)}
    assert room.revoked == [WALLET]
    assert room.settled == [(CASE, "blocked")]
    assert room.journal.events()[-1] == "screening.wallet_listed"
    assert not await unsettled(room)


async def test_settling_twice_changes_nothing(room: Room) -> None:
    await room.load(THIEF)
    await room.screening.screen(CASE, person("", WALLET))
    assert await room.blocks.settle(CASE) is Outcome.BLOCKED
    sent = len(room.chain.sent)
    await room.blocks.settle(CASE)
    assert len(room.chain.sent) == sent
    assert room.journal.events().count("screening.wallet_listed") == 1


async def test_a_confirmed_name_blocks_the_wallets_of_its_case(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, person("Oskar Drenovic", CLEAN))
    await run_all(room, SETTLE_JOB)
    assert room.on_chain.listed == {}
    await room.resolve(Decision.CONFIRMED)
    await run_all(room, SETTLE_JOB)
    assert list(room.on_chain.listed) == [CLEAN]


async def test_a_cleared_wallet_is_taken_off_the_chains_list(room: Room) -> None:
    await room.load(THIEF)
    await room.screening.screen(CASE, person("", WALLET))
    await room.blocks.settle(CASE)
    await room.resolve(Decision.CLEARED)
    await room.blocks.settle(CASE)
    assert room.on_chain.listed == {}
    assert room.journal.events()[-1] == "screening.wallet_unlisted"


async def test_a_wallet_stays_listed_while_another_case_blocks_it(room: Room) -> None:
    await room.load(THIEF)
    await room.screening.screen(CASE, person("", WALLET))
    await room.screening.screen("case:2", person("", WALLET))
    await room.blocks.settle(CASE)
    await room.resolve(Decision.CLEARED, hit=1)
    await room.blocks.settle(CASE)
    assert list(room.on_chain.listed) == [WALLET]


async def test_what_somebody_else_listed_stays(room: Room) -> None:
    await room.load(OSKAR)
    room.on_chain.listed[CLEAN] = b"\x01" * 32
    await room.screening.screen(CASE, person("Oskar Drenovic", CLEAN))
    await room.resolve(Decision.CLEARED)
    await room.blocks.settle(CASE)
    assert room.on_chain.listed == {CLEAN: b"\x01" * 32}


async def test_a_chain_that_is_down_only_puts_the_block_off(room: Room) -> None:
    await room.load(THIEF)
    await room.screening.screen(CASE, person("", WALLET))
    room.chain.down = True
    with pytest.raises(Unavailable):
        await room.blocks.settle(CASE)
    assert await room.blocks.settle_pending() == 0
    assert await unsettled(room)
    room.chain.down = False
    await room.sweep.run_once()
    assert list(room.on_chain.listed) == [WALLET]
    assert not await unsettled(room)


async def test_a_lost_answer_of_the_chain_is_made_good(room: Room) -> None:
    await room.load(THIEF)
    await room.screening.screen(CASE, person("", WALLET))
    room.chain.lose_receipts = 1
    assert await room.blocks.settle_pending() == 0
    assert await room.blocks.settle_pending() == 1
    assert room.journal.events().count("screening.wallet_listed") == 1
    await room.resolve(Decision.CLEARED)
    await room.blocks.settle(CASE)
    assert room.on_chain.listed == {}


async def test_nobody_is_settled_who_was_never_screened(room: Room) -> None:
    with pytest.raises(NotFound):
        await room.blocks.settle("case:404")


async def test_wallets_of_other_chains_are_screened_but_not_listed(room: Room) -> None:
    bitcoin = "1InventedAddressForTests00000000"
    await room.load({**THIEF, "properties": {"name": ["X Y"], "topics": ["sanction"], "cryptoWallets": [
        {"id": "w", "schema": "CryptoWallet", "properties": {"publicKey": [bitcoin]}}]}})  # fmt: skip
    assert (await room.screening.screen(CASE, person("", bitcoin))).decided is Outcome.BLOCKED
    await room.blocks.settle(CASE)
    assert room.on_chain.listed == {}


async def test_a_new_list_reaches_every_account_and_blocks_the_wallet_that_stands_on_it(room: Room) -> None:
    await room.open_account(1, WALLET)
    await room.open_account(2, CLEAN)
    await room.load(OSKAR)
    await run_all(room, SWEEP_JOB)
    assert await room.hits() == []
    await room.load(OSKAR, THIEF)
    await run_all(room, SWEEP_JOB)
    await run_all(room, SETTLE_JOB)
    assert [(hit.reference, hit.wallet) for hit in await room.hits()] == [("p00001", True)]
    assert list(room.on_chain.listed) == [WALLET]


async def test_an_account_that_comes_later_is_screened_without_a_new_list(room: Room) -> None:
    await room.load(THIEF)
    await run_all(room, SWEEP_JOB)
    assert await room.sweep.enqueue_due() == ""
    await room.open_account(3, WALLET)
    job = await room.sweep.enqueue_due()
    assert job
    assert await room.sweep.enqueue_due() == job
    await run_all(room, SWEEP_JOB)
    assert len(await room.hits()) == 1
    assert await room.sweep.enqueue_due() == ""


async def test_without_a_list_nothing_is_queued(room: Room) -> None:
    await room.open_account(1, WALLET)
    assert await room.sweep.enqueue_due() == ""


async def test_a_sweep_reports_how_far_it_is_and_goes_on_after_a_stop(room: Room) -> None:
    for number in range(sweeping.PAGE + 50):
        await room.open_account(number + 1, f"0x{number:040x}")
    await room.load(THIEF)
    seen: list[float] = []
    stopped = [False, True]

    async def progress(done: float) -> None:
        seen.append(done)

    async def cancelled() -> bool:
        return stopped.pop(0) if stopped else False

    first = await room.sweep.run(progress, cancelled)
    assert (first["screened"], seen) == (sweeping.PAGE, [sweeping.PAGE / (sweeping.PAGE + 50)])
    second = await room.sweep.run(progress, cancelled)
    assert (second["screened"], second["clear"]) == (50, 50)
    assert (await room.sweep.run(progress, cancelled))["screened"] == 0


async def test_a_cancelled_sweep_ends(room: Room) -> None:
    await room.open_account(1, WALLET)
    await room.load(THIEF)
    (job,) = await queued(room, SWEEP_JOB)
    async with room.database.transaction() as session:
        assert (await JobBoard().cancel(session, job)).state == "cancelled"
    assert await run_job(room.database, handlers(room.sweep, room.blocks), job)
    assert await room.hits() == []
