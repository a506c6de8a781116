"""The attestor on a local chain with the tests' universe, two policies and two days of market data."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import groth16py
import pytest
from eth_utils.crypto import keccak
from web3 import Web3
from web3.exceptions import ContractCustomError
from web3.types import TxReceipt

from backend.proofs.types import Binding, Claim, Limits, Matrix, Positions, Statement
from scripts.chaos.attestor_chain import AttestorChain, Circuit, attestor_chain, selector
from tests.circuits.example import (
    CIRCUIT,
    EPOCH,
    KEYS,
    TICKERS,
    honest,
    matrix,
    positions,
    proving_key,
    shape,
    tightest,
)

VAR_ONLY = "var_16_90"
BOTH = (CIRCUIT, VAR_ONLY)
MARKET, NEXT_MARKET = matrix(), matrix(8, EPOCH + 1)
HELD = positions()
LIMITS = {circuit: tightest(HELD, MARKET, circuit) for circuit in BOTH}
POLICY = {circuit: keccak(text=circuit) for circuit in BOTH}
INSTRUMENTS = TICKERS[:16]
MOST = (1 << 82) - 1
# The largest limits that a policy can name: what they refuse, they refuse for another reason than its limits
GENEROUS = {circuit: Limits(MOST, MOST if circuit == CIRCUIT else 0) for circuit in BOTH}
GENEROUS_POLICY = {circuit: keccak(text=f"generous {circuit}") for circuit in BOTH}

PROOF_REJECTED = selector("ProofRejected")
EPOCH_NOT_AFTER = selector("EpochNotAfter", "uint64", "uint64")
NOT_ATTESTER = selector("NotAttester", "bytes32", "address")
ANCHOR_UNKNOWN = selector("AnchorUnknown", "bytes32", "uint256", "uint256")
POLICY_UNKNOWN = selector("PolicyUnknown", "bytes32")
RETURNS_UNPUBLISHED = selector("ReturnsUnpublished", "bytes32", "uint64")
RETURNS_ID_MISMATCH = selector("ReturnsIdMismatch", "bytes32", "bytes32")
FIELD_OVERFLOW = selector("FieldOverflow", "uint256")

Prove = Callable[[Claim], bytes]


@contextmanager
def var_world(*arguments: str) -> Iterator[AttestorChain]:
    """Run a chain with the universe, two epochs published and two policies a circuit.

    One is at exactly the book's VaR and ES, the other as generous as can be.
    """
    with attestor_chain({circuit: circuit_of(circuit) for circuit in BOTH}, *arguments) as chain:
        chain.register(INSTRUMENTS, MARKET.universe_id, 90)
        for market in (MARKET, NEXT_MARKET):
            chain.publish(market)
        for circuit in BOTH:
            chain.define(POLICY[circuit], chain.policy(circuit, MARKET.universe_id, LIMITS[circuit]))
            chain.define(GENEROUS_POLICY[circuit], chain.policy(circuit, MARKET.universe_id, GENEROUS[circuit]))
        yield chain


def circuit_of(circuit: str) -> Circuit:
    """Return what a policy needs of a circuit."""
    key = proving_key(circuit).packed
    meta = json.loads((KEYS / circuit / "meta.json").read_text())
    return Circuit(shape(circuit), key, bytes.fromhex(meta["circuit_hash"].removeprefix("0x")))


@lru_cache(maxsize=64)
def proved(
    binding: Binding,
    circuit: str = CIRCUIT,
    held: Positions = HELD,
    market: Matrix = MARKET,
    limits: Limits | None = None,
) -> tuple[Claim, bytes]:
    """Return the honest prover's claim and whatever proof it yields."""
    claim = honest(binding, held, market, limits or LIMITS[circuit], circuit)
    return claim, proving_key(circuit).prove(claim)


def attempt(claim: Claim, circuit: str, otherwise: bytes) -> bytes:
    """Return the best proof that can be made of a claim, or another one where no witness can be written down."""
    try:
        return proving_key(circuit).prove(claim)
    except groth16py.WitnessError:
        return otherwise


def verifies(chain: AttestorChain, circuit: str, proof: bytes, inputs: tuple[int, ...] | list[int]) -> bool:
    """Return what the verifier alone says."""
    numbers = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, 256, 32)]
    return bool(chain.verifiers[circuit].functions.verifyProof(numbers, list(inputs)).call())


def attest(
    chain: AttestorChain,
    binding: Binding,
    statement: Statement,
    proof: bytes,
    market: Matrix = MARKET,
    sender: str | None = None,
) -> TxReceipt:
    """Submit a claim as the attester, unless told otherwise, and wait for its receipt."""
    return chain.send(chain.attesting(binding, statement, proof, market), sender or chain.attester)


def refuses(
    chain: AttestorChain,
    error: str,
    binding: Binding,
    statement: Statement,
    proof: bytes,
    market: Matrix = MARKET,
    **call: Any,
) -> None:
    """Assert that the entry point reverts with exactly this error."""
    sender = Web3.to_checksum_address(call.pop("sender", chain.attester))
    with pytest.raises(ContractCustomError) as refused:
        chain.attesting(binding, statement, proof, market, **call).call({"from": sender})
    assert str(refused.value.data)[:10] == error
