"""The VaR attestor on a throw-away node, with the real oracle, anchor and verifiers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractCustomError
from web3.types import TxReceipt

from backend.kernel.errors import Invalid
from backend.kernel.merkle import consistency_proof, root
from backend.proofs.types import Binding, CircuitShape, Limits, Matrix, Statement
from backend.risk.engine.var import tail_mass, tail_rank
from scripts.local_node import LOG_KEY, ORIGIN, ask, deploy, node, send

CHAIN_ID = 42069
SUBJECT = bytes.fromhex("5b" * 20)
BLANK_HEAD = (0, bytes(32), bytes(32))
WORD = 32


def selector(name: str, *types: str) -> str:
    """Return a custom error's selector, as web3 shows it."""
    return "0x" + keccak(f"{name}({','.join(types)})".encode())[:4].hex()


PROOF_REJECTED = selector("ProofRejected")


@dataclass(frozen=True, slots=True)
class Circuit:
    """What a policy needs of a circuit."""

    shape: CircuitShape
    key: bytes
    circuit_hash: bytes


@dataclass(frozen=True, slots=True)
class AttestorChain:
    """A node with everything deployed: one log with two anchors, one attester, a verifier a circuit."""

    web3: Web3
    oracle: Contract
    anchor: Contract
    attestor: Contract
    verifiers: Mapping[str, Contract]
    circuits: Mapping[str, Circuit]
    owner: str
    attester: str
    stranger: str
    log_id: bytes

    def send(self, call: ContractFunction, sender: str | None = None) -> TxReceipt:
        """Send a call, as the owner unless told otherwise; raise what the contract reverts with."""
        return send(self.web3, call, sender)

    def register(self, instruments: tuple[str, ...], universe_id: bytes, window: int) -> None:
        """Register a universe at the oracle."""
        words = [name.encode().ljust(WORD, b"\0") for name in instruments]
        self.send(self.oracle.functions.registerUniverse(universe_id, words, window))

    def publish(self, market: Matrix) -> TxReceipt:
        """Publish a matrix."""
        publish = self.oracle.functions.publish
        return self.send(publish(market.universe_id, market.epoch, list(market.prices), market.packed))

    def policy(self, circuit: str, universe_id: bytes, limits: Limits, **changes: Any) -> tuple[Any, ...]:
        """Return the policy of a circuit and limits, with the given fields in place of its own."""
        of = self.circuits[circuit]
        mass = tail_mass(of.shape.window, of.shape.confidence)
        fields = {
            "universeId": universe_id,
            "verifier": self.verifiers[circuit].address,
            "instruments": of.shape.instruments,
            "window": of.shape.window,
            "k": tail_rank(of.shape.window, of.shape.confidence),
            "tailNumerator": mass.numerator,
            "tailDenominator": mass.denominator,
            "quantityBits": of.shape.quantity_bits,
            "limitBits": of.shape.limit_bits,
            "pnlBits": of.shape.pnl_bits,
            "limit": limits.var,
            "esLimit": limits.es,
            "circuitHash": of.circuit_hash,
            "verificationKeyHash": keccak(of.key),
        }
        if not changes.keys() <= fields.keys():
            raise Invalid(f"a policy has no {', '.join(changes.keys() - fields.keys())}")
        return tuple((fields | changes).values())

    def define(self, policy_id: bytes, policy: tuple[Any, ...]) -> bytes:
        """Define a policy; return its id."""
        self.send(self.attestor.functions.definePolicy(policy_id, policy))
        return policy_id

    def bind(self, policy_id: bytes, epoch: int, **changes: Any) -> Binding:
        """Return what a first attestation of the subject binds, with the given parts in place of its own."""
        binding = Binding(
            chain_id=CHAIN_ID,
            attestor=bytes.fromhex(self.attestor.address[2:]),
            subject=SUBJECT,
            epoch=epoch,
            policy_id=policy_id,
            previous=bytes(WORD),
            log_id=self.log_id,
            anchor_index=0,
        )
        return replace(binding, **changes)

    def attesting(
        self, binding: Binding, statement: Statement, proof: bytes, market: Matrix, contract: Contract | None = None
    ) -> ContractFunction:
        """Return the call of the entry point with a claim."""
        claim = (
            Web3.to_checksum_address(binding.subject),
            binding.epoch,
            binding.policy_id,
            binding.log_id,
            binding.anchor_index,
            statement.commitment,
            statement.r,
            statement.z,
        )
        to = contract or self.attestor
        return to.functions.attest(claim, list(market.prices), market.packed, words(proof))

    def accepts(self, binding: Binding, statement: Statement, proof: bytes, market: Matrix) -> bool:
        """Return whether the entry point takes a claim, changing nothing; only a rejected proof is a refusal."""
        try:
            self.attesting(binding, statement, proof, market).call({"from": Web3.to_checksum_address(self.attester)})
        except ContractCustomError as refused:
            if refused.data != PROOF_REJECTED:
                raise
            return False
        return True


def words(proof: bytes) -> list[int]:
    """Return a proof as the contracts take it."""
    return [int.from_bytes(proof[at : at + WORD], "big") for at in range(0, 8 * WORD, WORD)]


@contextmanager
def attestor_chain(circuits: Mapping[str, Circuit], *arguments: str) -> Iterator[AttestorChain]:
    """Run a node with everything on it, no universe and no policy yet."""
    with node(CHAIN_ID, "--network", "optimism", *arguments) as web3:
        owner, attester, stranger, *_ = list(web3.eth.accounts)
        oracle = deploy(web3, "ReturnsOracle", owner)
        anchor = deploy(web3, "AuditAnchor", owner)
        attestor = deploy(web3, "VarAttestor", owner, oracle.address, anchor.address)
        verifiers = {name: deploy(web3, "Groth16Verifier", of.key) for name, of in circuits.items()}
        log_id = open_log(web3, anchor, ORIGIN, anchors=2)
        send(web3, oracle.functions.setPublisher(owner, True))
        send(web3, attestor.functions.setAttester(log_id, attester, True))
        yield AttestorChain(web3, oracle, anchor, attestor, verifiers, circuits, owner, attester, stranger, log_id)


def open_log(web3: Web3, anchor: Contract, origin: str, anchors: int) -> bytes:
    """Register a log and anchor trees of one leaf, two leaves and so on; return its id."""
    register = anchor.functions.registerLog(origin, LOG_KEY, [str(web3.eth.default_account)])
    log_id = bytes(register.call())
    send(web3, register)
    leaves, previous = [keccak(b"leaf %d" % place) for place in range(anchors)], BLANK_HEAD
    for size in range(1, anchors + 1):
        head = (size, root(leaves[:size]), keccak(b"heads %d" % size))
        proof = consistency_proof(leaves[:size], size - 1) if size > 1 else []
        send(web3, anchor.functions.anchor(log_id, previous, head, proof))
        previous = head
    return log_id


@contextmanager
def undone(web3: Web3) -> Iterator[None]:
    """Undo whatever happens to the chain meanwhile."""
    snapshot = ask(web3, "evm_snapshot")
    try:
        yield
    finally:
        ask(web3, "evm_revert", snapshot)
