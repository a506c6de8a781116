"""The service anchors in the real contract on a real node, and a stranger verifies it there."""

from datetime import timedelta

import pytest
from web3 import HTTPProvider, Web3

from backend.adapters.chain.rpc import RpcChain
from backend.anchoring.service import AnchorService
from backend.anchoring.types import AnchorState
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel.canonical import canonical_json, encode_bytes
from backend.kit.db import Database
from backend.ports.signer import KeyRole
from backend.transparency.engine.verifier import verify
from backend.transparency.service import PackBuilder
from backend.transparency.types import NoParts
from tests.fakes import FakeClock, FakeSigner
from tests.ports.conftest import CHAIN_ID, LocalChain, node

__all__ = ["node"]

TRADER = encode_bytes(b"\x01" * 32)
ORIGIN = "refi.trading/contract"
MAX_GAS = 100_000


@pytest.fixture(scope="module")
def local(node: str, tmp_path_factory: pytest.TempPathFactory) -> LocalChain:
    """Deploy AuditAnchor and register this log with its anchorer."""
    provider = HTTPProvider(node, exception_retry_configuration=None)
    local = LocalChain(node, tmp_path_factory.mktemp("deployments"), FakeSigner(), Web3(provider))
    local.rpc("anvil_setBalance", local.signer.address(KeyRole.ANCHORER), hex(10**20))
    local.deploy("AuditAnchor", local.owner)
    anchorer = Web3.to_checksum_address(local.signer.address(KeyRole.ANCHORER))
    local.transact("AuditAnchor", "registerLog", ORIGIN, local.signer.log_public_key(), [anchorer])
    return local


async def grow(database: Database, count: int) -> None:
    journal = AuditJournal(FakeClock())
    async with database.transaction() as session:
        for _ in range(count):
            await journal.record(session, TRADER, "order.filled", {}, actor="x", policy="1")
    await Sequencer(database, FakeSigner(), FakeClock(), ORIGIN).integrate()


async def test_a_stranger_finds_the_growing_anchors_on_chain(database: Database, local: LocalChain) -> None:
    key = local.signer.log_public_key()
    chain = RpcChain(local.url, local.deployments, local.signer, timeout=timedelta(seconds=10))
    journal = AuditJournal(FakeClock())
    service = AnchorService(
        database, chain, LogReader(), journal, FakeClock(), origin=ORIGIN, public_key=key, chain_id=CHAIN_ID
    )
    packs = PackBuilder(database, LogReader(), service, journal, NoParts(), origin=ORIGIN, public_key=key)
    try:
        for count in (1, 6, 13):
            await grow(database, count)
            made = await service.anchor_now()
            assert made.state is AnchorState.UNSAFE
            assert made.gas_used is not None
            assert made.gas_used < MAX_GAS
        assert made.index == 2
        # Another relay, without memory of what it sent, finds the same.
        assert await service.anchor_now() == made
        pack = canonical_json(await packs.owner(TRADER, 3))
    finally:
        await chain.close()
    named = verify(pack, contract=service.contract, chain_id=CHAIN_ID, rpc_urls=[local.url])
    results = {check.name: check.result for check in named.checks}
    assert named.ok
    assert results["anchor on chain"] == results["log identity"] == results["heads"] == "pass"
    other = verify(pack, contract="0x" + "22" * 20, chain_id=CHAIN_ID, rpc_urls=[local.url])
    assert not other.ok
