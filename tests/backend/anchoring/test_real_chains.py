"""An anchor's life on real nodes: unsafe, safe, finalized, proven on L1; with EAS where the OP stack has it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from web3 import Web3
from web3.contract import Contract

from backend.adapters.chain.known import EAS_ADDRESS, eas, l1_anchor_verifier
from backend.adapters.chain.l2_proof import l2_proof
from backend.adapters.chain.rpc import RpcChain
from backend.adapters.chain.submitter import Submission
from backend.anchoring.engine import anchor_word
from backend.anchoring.service import AnchorService
from backend.anchoring.types import Anchor
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import RefiError
from backend.kit.db import Database
from backend.ports.signer import KeyRole
from scripts.local_node import artifact, ask, deploy, node, send
from tests.fakes import FakeClock, FakeSigner

CHAIN_ID, L1_ID = 42069, 31337
ORIGIN = "refi.trading/chains"
EAS_VECTORS = Path("tests/vectors/eas")
REGISTRY_ADDRESS = "0x4200000000000000000000000000000000000020"
SIGNER = FakeSigner("chains")
PUSH = Submission(timedelta(seconds=0.5), timedelta(seconds=5))


@dataclass(frozen=True)
class Chains:
    """An L2 with AuditAnchor and an L1 that can prove it."""

    l2: Web3
    l1: Web3
    audit: Contract
    registry: Contract
    verifier: Contract
    deployments: Path

    def mine(self, count: int) -> None:
        """Let the L2 grow."""
        for _ in range(count):
            ask(self.l2, "evm_mine")

    def url(self, web3: Web3) -> str:
        """Return a node's address."""
        return str(web3.provider.endpoint_uri)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chains]:
    """Run both nodes; two blocks make the L2 safe, four make it final."""
    deployments = tmp_path_factory.mktemp("deployments")
    anchorer = Web3.to_checksum_address(SIGNER.address(KeyRole.ANCHORER))
    with (
        node(CHAIN_ID, "--network", "optimism", "--slots-in-an-epoch", "2") as l2,
        node(L1_ID, "--slots-in-an-epoch", "1") as l1,
    ):
        ask(l2, "anvil_setBalance", anchorer, hex(10**20))
        audit = deploy(l2, "AuditAnchor", l2.eth.accounts[0])
        send(l2, audit.functions.registerLog(ORIGIN, SIGNER.log_public_key(), [anchorer]))
        facts = {"address": audit.address, "abi": artifact("AuditAnchor")["abi"], "chain_id": CHAIN_ID}
        (deployments / "AuditAnchor.json").write_text(json.dumps(facts))
        registry = deploy(l1, "StandInRegistry", file="OptimismStandIns")
        verifier = deploy(l1, "L1AnchorVerifier", registry.address, audit.address, CHAIN_ID)
        yield Chains(l2, l1, audit, registry, verifier, deployments)


class Platform:
    """A log with its anchoring over both chains."""

    def __init__(self, database: Database, chains: Chains) -> None:
        self.database = database
        self.clock = FakeClock()
        self.l2 = RpcChain(
            chains.url(chains.l2),
            chains.deployments,
            SIGNER,
            timeout=timedelta(seconds=5),
            submission=PUSH,
            known={"EAS": eas()},
        )
        self.l1 = RpcChain(
            chains.url(chains.l1),
            chains.deployments / "none",
            SIGNER,
            timeout=timedelta(seconds=5),
            known={"L1AnchorVerifier": l1_anchor_verifier(chains.verifier.address)},
        )
        self.service = AnchorService(
            database,
            self.l2,
            LogReader(),
            AuditJournal(self.clock),
            self.clock,
            origin=ORIGIN,
            public_key=SIGNER.log_public_key(),
            chain_id=CHAIN_ID,
            l1=self.l1,
        )

    async def grow(self, count: int) -> None:
        """Let the log grow."""
        journal = AuditJournal(self.clock)
        async with self.database.transaction() as session:
            for _ in range(count):
                await journal.record(session, encode_bytes(b"\x01" * 32), "order.filled", {}, actor="x", policy="1")
        await Sequencer(self.database, SIGNER, self.clock, ORIGIN).integrate()

    async def anchors(self) -> list[Anchor]:
        """Return the anchors after one look at the chains."""
        await self.service.follow()
        async with self.database.reading() as session:
            return await self.service.anchors(session)

    async def states(self) -> list[str]:
        """Return the anchors' states after one look at the chains."""
        return [one.state.value for one in await self.anchors()]


@pytest.fixture
async def platform(database: Database, chains: Chains) -> AsyncIterator[Platform]:
    """Yield a log that the contract does not know any anchor of."""
    before = [(web3, ask(web3, "evm_snapshot")) for web3 in (chains.l2, chains.l1)]
    made = Platform(database, chains)
    yield made
    await made.l2.close()
    await made.l1.close()
    for web3, at in before:
        ask(web3, "evm_revert", at)


async def test_an_anchor_lives_from_unsafe_to_proven_on_l1(platform: Platform, chains: Chains) -> None:
    await platform.grow(5)
    made = await platform.service.anchor_now()
    assert await platform.states() == ["unsafe"]
    chains.mine(2)
    assert await platform.states() == ["safe"]
    chains.mine(2)
    assert await platform.states() == ["finalized"]
    at = chains.l2.eth.block_number
    proof = await l2_proof(chains.url(chains.l2), platform.service.contract, made.log_id, 0, at)
    game = deploy(chains.l1, "StandInGame", proof["output_root"], file="OptimismStandIns")
    send(chains.l1, chains.registry.functions.settle(game.address, True))
    names = ("state_root", "message_passer_storage_root", "block_hash")
    preimage = (bytes(32), *(proof[name] for name in names))
    call = chains.verifier.functions.prove(
        game.address, preimage, made.log_id, 0, proof["account_proof"], proof["storage_proof"]
    )
    send(chains.l1, call)
    assert await platform.states() == ["finalized"]
    for _ in range(2):
        ask(chains.l1, "evm_mine")
    assert await platform.states() == ["l1_proven"]


async def test_a_reorganised_node_gets_its_anchors_again(platform: Platform, chains: Chains) -> None:
    for count in (2, 3):
        await platform.grow(count)
        await platform.service.anchor_now()
    heads = [one.head for one in await platform.anchors()]
    ask(chains.l2, "anvil_reorg", 2, [])
    assert await platform.states() == ["recorded", "recorded"]
    await platform.service.anchor_now()
    again = await platform.anchors()
    assert [one.head for one in again] == heads
    assert await platform.states() == ["unsafe", "unsafe"]
    assert all(one.gas_used is not None for one in again)


async def test_relays_that_share_a_key_or_not_leave_no_gap(platform: Platform, chains: Chains) -> None:
    others = [Platform(platform.database, chains) for _ in range(2)]
    for _ in range(4):
        await platform.grow(2)
        made = await asyncio.gather(*[one.service.try_anchor() for one in (platform, *others)])
        assert len({one.head for one in made if one}) == 1
    assert [one.head.size for one in await platform.anchors()] == [2, 4, 6, 8]
    for one in others:
        await one.l2.close()
        await one.l1.close()


def place_eas(chains: Chains) -> None:
    """Put EAS where the OP stack has it."""
    for name, address, arguments in (
        ("SchemaRegistry", REGISTRY_ADDRESS, ()),
        ("EAS", EAS_ADDRESS, (REGISTRY_ADDRESS,)),
    ):
        inputs = [{"type": "address", "name": "registry"}][: len(arguments)]
        abi = [{"type": "constructor", "inputs": inputs, "stateMutability": "nonpayable"}]
        bytecode = json.loads((EAS_VECTORS / f"{name}.json").read_text())["bytecode"]
        made = chains.l2.eth.contract(abi=abi, bytecode=bytecode).constructor(*arguments).transact()
        at = chains.l2.eth.wait_for_transaction_receipt(made)["contractAddress"]
        assert at is not None
        ask(chains.l2, "anvil_setCode", address, chains.l2.eth.get_code(at).to_0x_hex())


async def test_each_word_is_timestamped_by_the_real_eas(platform: Platform, chains: Chains) -> None:
    await platform.grow(2)
    made = await platform.service.anchor_now()
    assert [one.eas_tx_hash for one in await platform.anchors()] == [None]
    place_eas(chains)
    chains.mine(1)
    await platform.service.follow()
    [stamped] = await platform.anchors()
    word = anchor_word(made.log_id, 0, made.head)
    [event] = await platform.l2.events("EAS", "Timestamped", filters={"data": word})
    assert stamped.eas_tx_hash == event["tx_hash"]
    assert await platform.l2.call("EAS", "getTimestamp", word) == event["timestamp"]
    # Given twice by two relays: the second finds it there.
    with pytest.raises(RefiError, match="AlreadyTimestamped"):
        await platform.l2.send(KeyRole.ANCHORER, "EAS", "timestamp", word)
    # Where code stands that is not EAS, anchoring goes on.
    ask(chains.l2, "anvil_setCode", EAS_ADDRESS, "0x60006000fd")
    await platform.grow(1)
    await platform.service.anchor_now()
    assert [one.head.size for one in await platform.anchors()] == [2, 3]
