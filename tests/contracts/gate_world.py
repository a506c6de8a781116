"""The order gate with every rule over time on a real node, and a platform's services on top of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from eth_utils.crypto import keccak
from web3 import Web3

from backend.adapters.chain.rpc import RpcChain
from backend.compliance.repository.rules import RulesSeen, rules_seen
from backend.compliance.repository.volumes import Volume, add_volume, volume_of
from backend.compliance.service import RulesWatcher, SettlementService
from backend.kit.db import Database
from backend.ports.signer import KeyRole
from tests.fakes import FakeClock, FakeJournal
from tests.ports.conftest import SUBMIT_ORDER, LocalChain, local_chain, node

__all__ = ["GateWorld", "gate_chain", "gate_world", "local_chain", "node"]

SETTLE_VOLUMES = bytes(keccak(text="settleVolumes((address,uint256)[])"))[:4]
LIMIT, WINDOW = 1_000_000 * 10**6, 86_400
TIERS = [(0, 100 * 10**6, False), (3, 500 * 10**6, False), (7, 5_000 * 10**6, False), (14, 50_000 * 10**6, True)]
STEP_BPS, STEP_DELAY = 1_000, 86_400


@dataclass
class GateWorld:
    """One database on one chain."""

    local: LocalChain
    chain: RpcChain
    database: Database
    journal: FakeJournal
    clock: FakeClock

    def watcher(self) -> RulesWatcher:
        """Return a watcher of a process of its own."""
        return RulesWatcher(self.database, self.chain, self.journal, self.clock)

    def settlement(self) -> SettlementService:
        """Return a relay's settlement."""
        return SettlementService(self.database, self.chain, self.journal)

    async def rules(self) -> RulesSeen:
        """Return the version in the database."""
        async with self.database.reading() as session:
            return await rules_seen(session)

    async def trade(self, account_id: int, address: str, units: int) -> None:
        """Add what an order was worth, USD x 1e6."""
        async with self.database.transaction() as session:
            await add_volume(session, account_id, address, units)

    async def volume(self, account_id: int) -> Volume:
        """Return an account's volumes."""
        async with self.database.reading() as session:
            found = await volume_of(session, account_id)
        assert found is not None
        return found

    async def submit(self, account: str, notional: int) -> None:
        """Put an order before the rules on chain."""
        await self.chain.send(KeyRole.ANCHORER, "OrderGate", "submitOrder", account, b"AAPL", notional, bytes(32))


def parameters(*names: str) -> list[bytes]:
    """Return parameters as the engine names them."""
    return [bytes(keccak(text=name)) for name in names]


@pytest.fixture(scope="session")
def gate_chain(local_chain: LocalChain) -> LocalChain:
    """Add the rules over time, settlements and a steward to the gate."""
    engine, gate, owner = local_chain.addresses["PolicyEngine"], local_chain.addresses["OrderGate"], local_chain.owner
    issuer, operator = (
        Web3.to_checksum_address(local_chain.signer.address(role)) for role in (KeyRole.ISSUER, KeyRole.OPERATOR)
    )
    sliding = local_chain.deploy("SlidingVolumePolicy", engine, owner, LIMIT, WINDOW)
    caps = local_chain.deploy("ProgressiveCapPolicy", engine, owner, issuer, operator, TIERS)
    sanctions = local_chain.deploy("SanctionsPolicy", engine, owner, issuer)
    steward = local_chain.deploy("LimitSteward", owner, operator)
    local_chain.transact("SlidingVolumePolicy", "setSteward", steward)
    selectors = [bytes(keccak(text=name))[:4] for name in ("getLimit()", "setLimit(uint256)")]
    local_chain.transact("LimitSteward", "allow", sliding, *selectors, STEP_BPS, STEP_DELAY)
    local_chain.transact("PolicyEngine", "setExtractor", SETTLE_VOLUMES, local_chain.addresses["OrderExtractor"])
    for selector, policy, names in (
        (SETTLE_VOLUMES, sliding, ["settlements"]),
        (SUBMIT_ORDER, sanctions, ["account"]),
        (SUBMIT_ORDER, sliding, ["account", "notional"]),
        (SUBMIT_ORDER, caps, ["account", "notional"]),
    ):
        local_chain.transact("PolicyEngine", "addPolicy", gate, selector, policy, parameters(*names))
    return local_chain


@pytest.fixture
async def gate_world(gate_chain: LocalChain, database: Database) -> AsyncIterator[GateWorld]:
    """Yield the gate's world with an empty database."""
    timeout = timedelta(seconds=20)
    chain = RpcChain(gate_chain.url, gate_chain.deployments, gate_chain.signer, timeout=timeout)
    yield GateWorld(gate_chain, chain, database, FakeJournal(), FakeClock())
    await chain.close()
