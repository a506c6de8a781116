"""A transaction reaches the chain whatever happens to it on the way, and at most once."""

import asyncio
import re
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from web3 import HTTPProvider, Web3

from backend.adapters.chain.rpc import RpcChain
from backend.adapters.chain.submitter import Submission
from backend.kernel.errors import Unavailable
from backend.ports.chain import Receipt
from backend.ports.signer import KeyRole
from tests.fakes import FakeSigner
from tests.ports.conftest import CHAIN_ID, LocalChain, anvil_binary

PATIENT = Submission(timedelta(seconds=30), timedelta(seconds=20))
HASTY = Submission(timedelta(seconds=0.3), timedelta(seconds=10))
BRIEF = Submission(timedelta(seconds=30), timedelta(seconds=0.5))
NOBODY = Web3.to_checksum_address("0x" + "22" * 20)


@dataclass
class Still(LocalChain):
    """A node that mines only when it is told to."""

    @property
    def sender(self) -> str:
        """The address that anchors."""
        return Web3.to_checksum_address(self.signer.address(KeyRole.ANCHORER))

    def mine(self) -> None:
        """Mine a block."""
        self.rpc("evm_mine")

    def height(self) -> int:
        """Return the newest block's number."""
        return int(self.rpc("eth_blockNumber"), 16)

    def nonce(self, *, pending: bool = False) -> int:
        """Return the anchorer's count."""
        return int(self.rpc("eth_getTransactionCount", self.sender, "pending" if pending else "latest"), 16)

    def pool(self) -> list[str]:
        """Return the hashes that wait."""
        content = self.rpc("txpool_content")
        return [one["hash"] for kind in content.values() for sent in kind.values() for one in sent.values()]

    def foreign(self, nonce: int, *, tip: int = 1) -> None:
        """Hand in a transfer of the same key, as another process does."""
        base = int(self.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
        transaction = {
            "to": NOBODY,
            "value": 1,
            "data": b"",
            "gas": 21_000,
            "nonce": nonce,
            "maxPriorityFeePerGas": tip,
            "maxFeePerGas": base + tip,
            "chainId": CHAIN_ID,
        }
        raw = self.signer.sign_transaction(KeyRole.ANCHORER, transaction)
        self.rpc("eth_sendRawTransaction", "0x" + raw.hex())


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Still]:
    """Start a node that does not mine by itself, with a token on it that anybody may write to."""
    command = [anvil_binary(), "--network", "optimism", "--chain-id", str(CHAIN_ID), "--host", "127.0.0.1"]
    process = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        listening = (re.search(r"Listening on (127\.0\.0\.1:\d+)", line) for line in process.stdout)
        url = "http://" + next(found.group(1) for found in listening if found)
        web3 = Web3(HTTPProvider(url, exception_retry_configuration=None))
        made = Still(url, tmp_path_factory.mktemp("deployments"), FakeSigner("still"), web3)
        made.rpc("anvil_setBalance", made.sender, hex(10**20))
        made.deploy("RefiToken", made.owner, 1)
        made.rpc("evm_setAutomine", False)
        yield made
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


class Senders:
    """Chains over one node, as processes have them."""

    def __init__(self, still: Still) -> None:
        self.still = still
        self.opened: list[RpcChain] = []

    def open(self, terms: Submission) -> RpcChain:
        """Return one more process's chain."""
        made = RpcChain(
            self.still.url, self.still.deployments, self.still.signer, timeout=timedelta(seconds=5), submission=terms
        )
        self.opened.append(made)
        return made


@pytest.fixture
async def senders(still: Still) -> AsyncIterator[Senders]:
    """Yield a maker of chains; leave an empty pool behind."""
    made = Senders(still)
    yield made
    for chain in made.opened:
        await chain.close()
    still.rpc("anvil_dropAllTransactions")
    still.mine()


def approve(chain: RpcChain, account: str) -> asyncio.Task[Receipt]:
    return asyncio.create_task(chain.send(KeyRole.ANCHORER, "RefiToken", "approve", account, 1))


def wallet() -> str:
    return "0x" + secrets.token_hex(20)


async def waits(still: Still, count: int = 1) -> list[str]:
    """Wait until so many transactions are in the pool."""
    for _ in range(200):
        if len(found := still.pool()) == count:
            return found
        await asyncio.sleep(0.02)
    pytest.fail(f"the pool does not come to hold {count}: {found}")


async def mined(still: Still, *tasks: asyncio.Task[Receipt]) -> list[Receipt]:
    """Mine until every task is done."""
    async with asyncio.timeout(15):
        while not all(task.done() for task in tasks):
            still.mine()
            await asyncio.sleep(0.05)
    return [await task for task in tasks]


async def test_a_dropped_transaction_is_handed_in_again(still: Still, senders: Senders) -> None:
    sending = approve(senders.open(PATIENT), wallet())
    [first] = await waits(still)
    still.rpc("anvil_dropTransaction", first)
    assert await waits(still) == [first]
    [receipt] = await mined(still, sending)
    assert receipt.tx_hash == first


async def test_a_stuck_transaction_is_replaced_by_one_an_eighth_dearer(still: Still, senders: Senders) -> None:
    before = still.nonce()
    sending = approve(senders.open(HASTY), wallet())
    [first] = await waits(still)
    fees = still.rpc("eth_getTransactionByHash", first)
    while still.pool() == [first]:  # noqa: ASYNC110 - the node is waited for
        await asyncio.sleep(0.05)
    [second] = still.pool()
    dearer = still.rpc("eth_getTransactionByHash", second)
    for name in ("maxFeePerGas", "maxPriorityFeePerGas"):
        assert int(dearer[name], 16) * 1000 >= int(fees[name], 16) * 1125
    await mined(still, sending)
    assert still.nonce() == before + 1


async def test_no_fee_passes_the_bound(still: Still, senders: Senders) -> None:
    base = int(still.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    tight = Submission(timedelta(seconds=0.1), timedelta(seconds=1), max_fee=base + base // 2)
    sending = approve(senders.open(tight), wallet())
    with pytest.raises(Unavailable, match="not mined"):
        await sending
    waiting = [int(still.rpc("eth_getTransactionByHash", one)["maxFeePerGas"], 16) for one in still.pool()]
    assert waiting == [base + base // 2]
    closed = Submission(max_fee=base // 2)
    with pytest.raises(Unavailable, match="bound"):
        await approve(senders.open(closed), wallet())


async def test_a_base_fee_above_the_bound_is_waited_out(still: Still, senders: Senders) -> None:
    base = int(still.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    chain, account = senders.open(Submission(timedelta(seconds=0.1), timedelta(seconds=2), max_fee=3 * base)), wallet()
    sending = approve(chain, account)
    await waits(still)
    still.rpc("anvil_setNextBlockBaseFeePerGas", hex(9 * base))
    still.mine()
    with pytest.raises(Unavailable, match="bound"):
        await sending
    with pytest.raises(Unavailable, match="bound"):
        await approve(chain, account)
    still.rpc("anvil_setNextBlockBaseFeePerGas", hex(base))
    still.mine()
    await mined(still, approve(chain, account))


async def test_a_transaction_that_the_base_fee_overtook_is_sent_dearer(still: Still, senders: Senders) -> None:
    sending = approve(senders.open(HASTY), wallet())
    await waits(still)
    base = int(still.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    still.rpc("anvil_setNextBlockBaseFeePerGas", hex(5 * base))
    still.mine()
    assert still.nonce() == still.nonce(pending=True)
    await mined(still, sending)


async def test_a_nonce_that_another_process_took_is_given_up_for_a_new_one(still: Still, senders: Senders) -> None:
    account, before = wallet(), still.nonce()
    sending = approve(senders.open(PATIENT), account)
    await waits(still)
    # Replaces ours under the same nonce.
    still.foreign(before, tip=10**11)
    [receipt] = await mined(still, sending)
    assert still.nonce() == before + 2
    assert int(still.rpc("eth_getTransactionByHash", receipt.tx_hash)["nonce"], 16) == before + 1


async def test_processes_that_share_a_key_all_get_through(still: Still, senders: Senders) -> None:
    before = still.nonce()
    chains = [senders.open(HASTY) for _ in range(3)]
    receipts = await mined(still, *[approve(chain, wallet()) for chain in chains for _ in range(3)])
    assert len({receipt.tx_hash for receipt in receipts}) == 9
    assert still.nonce() == before + 9


async def test_a_call_that_a_dead_process_left_is_taken_up_not_doubled(still: Still, senders: Senders) -> None:
    account, before = wallet(), still.nonce()
    dying = approve(senders.open(PATIENT), account)
    [left] = await waits(still)
    dying.cancel()
    heir = approve(senders.open(PATIENT), account)
    await asyncio.sleep(0.3)
    assert still.pool() == [left]
    [receipt] = await mined(still, heir)
    assert (receipt.tx_hash, still.nonce()) == (left, before + 1)


async def test_processes_that_push_the_same_call_do_not_outbid_each_other(still: Still, senders: Senders) -> None:
    account, before = wallet(), still.nonce()
    both = [approve(senders.open(HASTY), account)]
    [first] = await waits(still)
    both.append(approve(senders.open(HASTY), account))
    fee = int(still.rpc("eth_getTransactionByHash", first)["maxFeePerGas"], 16)
    await asyncio.sleep(1.5)
    [last] = still.pool()
    # Five times the patience: at most five times an eighth more.
    assert int(still.rpc("eth_getTransactionByHash", last)["maxFeePerGas"], 16) < fee * 1.126**5
    receipts = await mined(still, *both)
    assert len({receipt.tx_hash for receipt in receipts}) == 1
    assert still.nonce() == before + 1


async def test_a_call_that_was_given_up_is_taken_up_when_it_is_asked_for_again(still: Still, senders: Senders) -> None:
    account, before, chain = wallet(), still.nonce(), senders.open(BRIEF)
    with pytest.raises(Unavailable, match="not mined"):
        await approve(chain, account)
    [receipt] = await mined(still, approve(chain, account))
    assert receipt.gas_used > 0
    assert still.nonce() == before + 1


async def test_a_foreign_transaction_that_holds_ours_up_is_pushed_through(still: Still, senders: Senders) -> None:
    before = still.nonce()
    still.foreign(before)
    [cheap] = still.pool()
    sending = approve(senders.open(HASTY), wallet())
    await waits(still, 2)
    while cheap in still.pool():  # noqa: ASYNC110 - the node is waited for
        await asyncio.sleep(0.05)
    await mined(still, sending)
    assert still.nonce() == before + 2
    assert still.rpc("eth_getTransactionByHash", cheap) is None


async def test_a_hole_before_our_nonce_is_filled(still: Still, senders: Senders) -> None:
    before = still.nonce()
    still.foreign(before)
    [gone] = still.pool()
    sending = approve(senders.open(HASTY), wallet())
    await waits(still, 2)
    still.rpc("anvil_dropTransaction", gone)
    await mined(still, sending)
    assert still.nonce() == before + 2


async def test_a_rolled_back_chain_does_not_leave_a_gap_of_nonces(still: Still, senders: Senders) -> None:
    chain = senders.open(HASTY)
    height = still.height()
    await mined(still, approve(chain, wallet()), approve(chain, wallet()))
    before = still.nonce()
    still.rpc("anvil_rollback", still.height() - height)
    assert still.nonce() == before - 2
    await mined(still, approve(chain, wallet()))
