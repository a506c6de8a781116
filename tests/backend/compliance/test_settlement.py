"""What is traded gets settled once, whatever is lost, repeated or taken back on the way."""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.compliance.repository.volumes import Volume, add_volume, volume_of
from backend.compliance.service import SettlementService
from backend.kernel.errors import Unavailable
from backend.kit.db import Base, Database
from backend.ports.chain import Block, Reverted
from backend.ports.signer import KeyRole
from tests.fakes import FakeChain, FakeJournal

ENGINE, COUNTER = "0x" + "e1" * 20, "0x" + "c0" * 20


class Gate(FakeChain):
    """OrderGate with the policy behind it that counts, both as the contracts are; blocks can be taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.settled: dict[str, int] = {}
        self.recorded: dict[str, int] = {}
        self.ruled = True
        self.fees_wrong = 0
        self.kept: list[tuple[int, dict[str, int], dict[str, int]]] = []
        self.answer("OrderGate", "getPolicyEngine", lambda: ENGINE)
        self.answer("PolicyEngine", "getPolicies", lambda *_: (COUNTER,) if self.ruled else ())
        self.answer("OrderGate", "settledOf", lambda account: self.settled.get(account, 0))
        self.answer("OrderGate", "settleVolumes", self.settle)
        self.tags = {"finalized": 0}

    def settle(self, pairs: Sequence[tuple[str, int]]) -> None:
        """Settle as the contract does."""
        if self.fees_wrong:
            self.fees_wrong -= 1
            raise Reverted("a mined transaction failed")
        addresses = [int(account, 16) for account, _ in pairs]
        if addresses != sorted(set(addresses)):
            raise Reverted("SettlementsNotAscending")
        for account, cumulative in pairs:
            if cumulative < self.settled.get(account, 0):
                raise Reverted("CumulativeDecreased")
        self.kept.append((self.blocks[-1].number, dict(self.settled), dict(self.recorded)))
        for account, cumulative in pairs:
            added = cumulative - self.settled.get(account, 0)
            self.settled[account] = cumulative
            self.recorded[account] = self.recorded.get(account, 0) + added
            self.emit("OrderGate", "VolumeSettled", account=account, cumulative=cumulative, added=added)

    def take_back(self) -> None:
        """Lose the block of the last settlement and what came after it."""
        if not self.kept:
            return
        number, self.settled, self.recorded = self.kept.pop()
        del self.blocks[number:]
        last = self.blocks[-1]
        self.blocks.append(Block(last.number + 1, f"0x{len(self.sent) + 9_000:064x}", last.timestamp + 2))
        self.emitted = [entry for entry in self.emitted if entry[2]["block_number"] < number]


class Desk:
    """A database of trades and relays that settle them."""

    def __init__(self, database: Database) -> None:
        self.database, self.chain, self.journal = database, Gate(), FakeJournal()
        self.service = self.another()

    def another(self) -> SettlementService:
        """Return the settlement of another process."""
        return SettlementService(self.database, self.chain, self.journal)

    async def trade(self, account_id: int, units: int) -> str:
        """Let an account trade."""
        async with self.database.transaction() as session:
            await add_volume(session, account_id, address_of(account_id), units)
        return address_of(account_id)

    async def volume(self, account_id: int) -> Volume:
        """Return an account's volumes."""
        async with self.database.reading() as session:
            found = await volume_of(session, account_id)
        assert found is not None
        return found

    def sent(self) -> list[Any]:
        """Return the settlements that were sent."""
        return [arguments[0] for _, _, function, arguments in self.chain.sent if function == "settleVolumes"]


def address_of(account_id: int) -> str:
    return f"0x{(account_id * 7_919) % 1_000_003:040x}"


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


async def test_accounts_are_settled_ascending_by_the_relays_key_and_recorded_without_names(desk: Desk) -> None:
    for account in (3, 1, 2):
        await desk.trade(account, account * 10**6)
    (made,) = await desk.service.settle()
    assert (made.accounts, made.added) == (3, 6 * 10**6)
    assert desk.chain.sent[-1][:3] == (KeyRole.ANCHORER, "OrderGate", "settleVolumes")
    assert [int(account, 16) for account, _ in desk.sent()[0]] == sorted(int(address_of(n), 16) for n in (1, 2, 3))
    (record,) = desk.journal.records
    assert dict(record.fields) == {
        "tx_hash": made.tx_hash, "block_number": made.block_number, "accounts": 3, "added": "6",
    }  # fmt: skip


async def test_a_hundred_accounts_go_into_one_transaction_and_no_more(desk: Desk) -> None:
    for account in range(1, 231):
        await desk.trade(account, 5)
    assert [made.accounts for made in await desk.service.settle()] == [100, 100, 30]
    assert all(desk.chain.settled[address_of(account)] == 5 for account in range(1, 231))


async def test_nothing_new_is_nothing_sent(desk: Desk) -> None:
    assert not await desk.service.settle()
    await desk.trade(1, 5)
    await desk.service.settle()
    assert not await desk.service.settle()
    assert len(desk.sent()) == 1


async def test_a_settlement_whose_answer_was_lost_is_found_and_recorded_once(desk: Desk) -> None:
    address = await desk.trade(1, 5)
    desk.chain.lose_receipts = 1
    with pytest.raises(Unavailable):
        await desk.service.settle()
    assert (await desk.volume(1)).settled == 0
    (made,) = await desk.another().settle()
    assert (made.accounts, made.added) == (1, 5)
    assert len(desk.sent()) == 1
    assert desk.chain.recorded == {address: 5}
    assert desk.journal.events() == ["volume.settled"]
    assert not await desk.service.settle()


async def test_a_transaction_that_fails_when_it_is_mined_is_tried_again_and_not_for_ever(desk: Desk) -> None:
    await desk.trade(1, 5)
    desk.chain.fees_wrong = 2
    (made,) = await desk.service.settle()
    assert made.added == 5
    await desk.trade(1, 5)
    desk.chain.fees_wrong = 99
    with pytest.raises(Reverted):
        await desk.service.settle()
    assert (await desk.volume(1)).settled == 5


async def test_what_a_reorganised_chain_lost_is_settled_again(desk: Desk) -> None:
    await desk.trade(1, 5)
    await desk.trade(2, 7)
    await desk.service.settle()
    await desk.trade(1, 3)
    await desk.service.settle()
    desk.chain.take_back()
    (made,) = await desk.another().settle()
    assert (made.accounts, made.added) == (1, 3)
    assert desk.chain.settled == {address_of(1): 8, address_of(2): 7}


async def test_what_is_final_is_read_once_more_and_not_again(desk: Desk) -> None:
    await desk.trade(1, 5)
    (made,) = await desk.service.settle()
    desk.chain.tags["finalized"] = made.block_number
    for times in (1, 0):
        desk.chain.called.clear()
        assert not await desk.service.settle()
        assert [call[1] for call in desk.chain.called].count("settledOf") == times


async def test_a_database_older_than_the_chain_sends_nothing_less(desk: Desk) -> None:
    address = await desk.trade(1, 5)
    desk.chain.settle([(address, 9)])
    await desk.service.settle()
    assert not desk.sent()
    assert desk.chain.settled[address] == 9
    # What is settled was traded: it is not traded a second time without counting.
    assert (await desk.volume(1)).cumulative == 9
    await desk.trade(1, 10)
    await desk.service.settle()
    assert desk.chain.settled[address] == 19


async def test_where_nothing_counts_volumes_nothing_is_settled(desk: Desk) -> None:
    await desk.trade(1, 5)
    desk.chain.ruled = False
    assert not await desk.service.settle()
    desk.chain.answer("OrderGate", "getPolicyEngine", undefined)
    assert not await desk.service.settle()
    assert not desk.sent()


def undefined() -> str:
    raise Reverted("PolicyEngineUndefined")


STEP = st.one_of(
    st.tuples(st.just("trade"), st.integers(1, 4), st.integers(1, 10**12)),
    st.sampled_from(["settle", "settle elsewhere", "lose the answer", "reorganise", "finalise"]).map(
        lambda n: (n, 0, 0)
    ),
)


@settings(max_examples=20, deadline=None)
@example([("trade", 1, 1), ("settle", 0, 0), ("reorganise", 0, 0), ("finalise", 0, 0)])
@given(st.lists(STEP, max_size=14))
def test_whatever_happens_every_trade_is_counted_on_chain_exactly_once(steps: list[tuple[str, int, int]]) -> None:
    async def run(folder: Path) -> None:
        database = Database(f"sqlite+aiosqlite:///{folder / 'refi.sqlite3'}")
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        desk, traded = Desk(database), dict.fromkeys(range(1, 5), 0)
        try:
            for name, account, units in steps:
                if name == "trade":
                    await desk.trade(account, units)
                    traded[account] += units
                else:
                    await happen(desk, name)
                for number, total in traded.items():
                    assert desk.chain.settled.get(address_of(number), 0) <= total
            await desk.service.settle()
            for number, total in traded.items():
                if total:
                    volume = await desk.volume(number)
                    assert volume.cumulative == volume.settled == total
                    assert desk.chain.settled[address_of(number)] == desk.chain.recorded[address_of(number)] == total
        finally:
            await database.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def happen(desk: Desk, name: str) -> None:
    match name:
        case "settle":
            await desk.service.settle()
        case "settle elsewhere":
            await desk.another().settle()
        case "lose the answer":
            desk.chain.lose_receipts = 1
            with suppress(Unavailable):
                await desk.service.settle()
            desk.chain.lose_receipts = 0
        case "reorganise":
            desk.chain.take_back()
        case _:
            desk.chain.tags["finalized"] = desk.chain.blocks[-1].number
            desk.chain.kept.clear()
