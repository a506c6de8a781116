"""Attest one example a circuit on a fresh local node: `python -m scripts.zk_gas KEYS CIRCUIT...`.

KEYS is the folder of the proving keys. Each line is one JSON object; lines before the last hold only "progress", the
last one gas and calldata of a whole attestation for each circuit.
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract

from backend.adapters.prover.groth16 import Groth16Process
from backend.cli.local import ROOT
from backend.cli.zk.circuits import named
from backend.cli.zk.examples import Example, example
from backend.kernel.errors import RefiError, Unavailable
from backend.ports.prover import CircuitKey, Proof
from backend.proofs.types import Binding, Claim
from scripts.local_node import LOG_KEY, ORIGIN, deploy, node, send

CHAIN_ID = 42069
POLICY = keccak(b"zk report")
SUBJECT = bytes.fromhex("5b" * 20)
FIRST_HEAD = (1, bytes([2] * 32), bytes([3] * 32))
OPTIMISM = ("--network", "optimism", "--timestamp", "1451606400")


def attested(web3: Web3, prover: Groth16Process, of: Example) -> dict[str, int]:
    """Deploy what an attestation needs, attest, and return what the transaction cost."""
    key = asyncio.run(prover.key(of.circuit.name))
    owner = web3.eth.accounts[0]
    oracle, anchor = deploy(web3, "ReturnsOracle", owner), deploy(web3, "AuditAnchor", owner)
    attestor = deploy(web3, "VarAttestor", owner, oracle.address, anchor.address)
    log_id = _prepare(web3, of, key, oracle, anchor, attestor)
    claim = of.claim(_binding(of, attestor, log_id))
    proof = asyncio.run(prover.prove(of.circuit.name, claim.inputs, claim.public_inputs))
    if not isinstance(proof, Proof):
        raise Unavailable(f"the example of {of.circuit.name} was not proved: {proof.reason}")
    receipt = send(web3, _attest(attestor, of, claim, proof, log_id))
    sent = web3.eth.get_transaction(receipt["transactionHash"])
    return {"gas": receipt["gasUsed"], "calldata_bytes": len(bytes(sent["input"]))}


def _prepare(web3: Web3, of: Example, key: CircuitKey, oracle: Contract, anchor: Contract, attestor: Contract) -> bytes:
    """Publish the matrix, anchor a log, define the policy; return the log's id."""
    owner, matrix = web3.eth.accounts[0], of.market.matrix
    instruments = [ticker.encode().ljust(32, b"\0") for ticker in of.market.tickers]
    verifier = deploy(web3, "Groth16Verifier", key.verifying_key)
    log_id = keccak(encode(["string", "bytes32", "uint256", "address"], [ORIGIN, LOG_KEY, CHAIN_ID, anchor.address]))
    for call in (
        oracle.functions.registerUniverse(matrix.universe_id, instruments, of.circuit.shape.window),
        oracle.functions.setPublisher(owner, True),
        oracle.functions.publish(matrix.universe_id, matrix.epoch, list(matrix.prices), matrix.packed),
        anchor.functions.registerLog(ORIGIN, LOG_KEY, [owner]),
        anchor.functions.anchor(log_id, (0, bytes(32), bytes(32)), FIRST_HEAD, []),
        attestor.functions.definePolicy(POLICY, _policy(of, key, verifier)),
        attestor.functions.setAttester(log_id, owner, True),
    ):
        send(web3, call)
    return log_id


def _policy(of: Example, key: CircuitKey, verifier: Contract) -> tuple[Any, ...]:
    return (
        of.market.matrix.universe_id,
        verifier.address,
        key.instruments,
        key.window,
        key.k,
        key.tail.numerator,
        key.tail.denominator,
        key.quantity_bits,
        key.limit_bits,
        key.pnl_bits,
        of.limits.var,
        of.limits.es,
        key.circuit_hash,
        key.verification_key_hash,
    )


def _binding(of: Example, attestor: Contract, log_id: bytes) -> Binding:
    address = bytes.fromhex(attestor.address[2:])
    return Binding(CHAIN_ID, address, SUBJECT, of.market.matrix.epoch, POLICY, bytes(32), log_id, 0)


def _attest(attestor: Contract, of: Example, claim: Claim, proof: Proof, log_id: bytes) -> Any:
    stated, matrix = claim.statement, of.market.matrix
    words = [int.from_bytes(proof.encoded[at : at + 32], "big") for at in range(0, 256, 32)]
    submitted = (
        Web3.to_checksum_address(SUBJECT),
        matrix.epoch,
        POLICY,
        log_id,
        0,
        stated.commitment,
        stated.r,
        stated.z,
    )
    return attestor.functions.attest(submitted, list(matrix.prices), matrix.packed, words)


def main() -> int:
    """Attest and answer; exit 1 with the fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keys", type=Path, help="the folder of the proving keys")
    parser.add_argument("circuits", nargs="+", help="circuits of circuits/circuits.json")
    chosen = parser.parse_args()
    prover = Groth16Process(ROOT, chosen.keys)
    spent: dict[str, dict[str, int]] = {}
    try:
        with node(CHAIN_ID, *OPTIMISM) as web3:
            for name in chosen.circuits:
                print(json.dumps({"progress": f"{name}: attesting on a local chain"}), flush=True)
                spent[name] = attested(web3, prover, example(named(name)))
    except (RefiError, OSError) as fault:
        print(json.dumps({"error": f"{type(fault).__name__}: {fault}"}))
        return 1
    print(json.dumps(spent))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
