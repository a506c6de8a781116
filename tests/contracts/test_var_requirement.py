"""Orders of a gate that demands fresh attestations, with the real attestor and real proofs, in the chain's own time."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract

from backend.proofs.types import Binding
from scripts.chaos.attestor_chain import AttestorChain
from scripts.local_node import ask, deploy, send
from tests.circuits.example import CIRCUIT, EPOCH
from tests.contracts.var_world import POLICY, attest, proved, refuses, var_world

DAY = 86_400
MAX_AGE = 2 * DAY
START, END_OF_EPOCH = EPOCH * DAY + 60, (EPOCH + 1) * DAY
SUBMIT = keccak(text="submitOrder(address,bytes32,uint256,bytes32)")[:4]
EPOCH_NOT_AFTER = "0x" + keccak(text="EpochNotAfter(uint64,uint64)")[:4].hex()
UNATTESTED, STALE = "account's risk is not attested", "account's risk attestation is not fresh"


@dataclass(frozen=True, slots=True)
class RiskGate:
    """A gate whose orders take a fresh attestation."""

    chain: AttestorChain
    gate: Contract

    def at(self, moment: int) -> None:
        """Mine a block at a moment."""
        ask(self.chain.web3, "evm_setNextBlockTimestamp", moment)
        ask(self.chain.web3, "evm_mine")

    def refusal(self, account: str) -> bytes:
        """Return what an order is refused with, nothing where it passes."""
        order = (account, bytes(32), 1, bytes(32), b"")
        (refusal,) = self.gate.functions.checkOrders(self.chain.owner, [order]).call()
        return bytes(refusal)

    def trade(self, account: str) -> None:
        """Submit an order."""
        send(self.chain.web3, self.gate.functions.submitOrder(account, bytes(32), 1, bytes(32)))


@pytest.fixture(scope="module")
def at() -> Iterator[RiskGate]:
    with var_world("--timestamp", str(START)) as chain:
        web3, owner = chain.web3, chain.owner
        engine = deploy(web3, "PolicyEngine", owner)
        gate = deploy(web3, "OrderGate", owner, engine.address)
        send(web3, engine.functions.setExtractor(SUBMIT, deploy(web3, "OrderExtractor").address))
        send(web3, engine.functions.setTargetDefaultPolicyAllow(gate.address, True))
        volumes = deploy(web3, "SlidingVolumePolicy", engine.address, owner, 1_000, DAY)
        attested = (chain.attestor.address, POLICY[CIRCUIT], volumes.address, MAX_AGE)
        risk = deploy(web3, "VarAttestationPolicy", engine.address, owner, *attested)
        for policy, names in ((risk, ("account",)), (volumes, ("account", "notional"))):
            hashed = [keccak(text=name) for name in names]
            send(web3, engine.functions.addPolicy(gate.address, SUBMIT, policy.address, hashed))
        yield RiskGate(chain, gate)


def test_an_account_trades_with_a_fresh_proof_and_no_longer(at: RiskGate) -> None:
    binding: Binding = at.chain.bind(POLICY[CIRCUIT], EPOCH)
    account = Web3.to_checksum_address(binding.subject)
    unproved = Web3.to_checksum_address(keccak(text="unproved")[:20])
    for trader in (account, unproved):
        assert not at.refusal(trader)
        at.trade(trader)
    at.at(START + MAX_AGE - DAY // 2)
    assert not at.refusal(account)

    at.at(END_OF_EPOCH + MAX_AGE - DAY // 2)
    for trader in (account, unproved):
        assert UNATTESTED.encode() in at.refusal(trader)

    claim, proof = proved(binding)
    attest(at.chain, binding, claim.statement, proof)

    assert not at.refusal(account)
    at.trade(account)
    assert UNATTESTED.encode() in at.refusal(unproved)
    refuses(at.chain, EPOCH_NOT_AFTER, binding, claim.statement, proof)

    at.at(END_OF_EPOCH + MAX_AGE)
    assert not at.refusal(account)
    at.at(END_OF_EPOCH + MAX_AGE + 1)
    assert STALE.encode() in at.refusal(account)
    assert not at.refusal(Web3.to_checksum_address(keccak(text="a newcomer")[:20]))
