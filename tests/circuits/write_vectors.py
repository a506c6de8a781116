"""Renew what other languages and tools test against: `python -m tests.circuits.write_vectors`.

Writes circuits/inputs/*.json (a satisfying witness a circuit) and tests/vectors/var_claim.json (one whole claim).
"""

import json
from base64 import urlsafe_b64encode
from dataclasses import asdict
from typing import Any

from backend.kernel.keccak import keccak256
from backend.proofs.engine.claim import attestation_id, context
from backend.proofs.engine.returns import returns_id
from backend.proofs.types import Claim
from tests.circuits.example import (
    BINDING,
    CIRCUIT,
    ROOT,
    TICKERS,
    honest,
    matrix,
    positions,
    proving_key,
    shape,
    tightest,
)

EXAMPLES = ("var_4_8_es", "var_16_90", CIRCUIT)


def example(circuit: str) -> Claim:
    """Return a circuit's example at its tightest limits."""
    held, market = positions(circuit=circuit), matrix(circuit=circuit)
    return honest(BINDING, held, market, tightest(held, market, circuit), circuit)


def inputs(claim: Claim) -> dict[str, Any]:
    """Return what the prover's process is asked with."""
    signals = {
        name: str(value) if isinstance(value, int) else [str(part) for part in value]
        for name, value in sorted(claim.inputs.items())
    }
    return {"inputs": signals, "public_inputs": [str(value) for value in claim.public_inputs]}


def vector() -> dict[str, Any]:
    """Return one whole claim with its proof, public and private parts."""
    held, market, claim, key = positions(), matrix(), example(CIRCUIT), proving_key()
    proof = key.prove(claim)
    limits = tightest(held, market)
    returns, bound = returns_id(market), context(BINDING)
    return {
        "about": "One valid VaR claim: everything a verifier recomputes, see circuits/README.md",
        "circuit": CIRCUIT,
        "tickers": TICKERS[: shape().instruments],
        "universe_id": _hex(market.universe_id),
        "epoch": market.epoch,
        "prices_units": market.prices,
        "returns": urlsafe_b64encode(market.packed).decode().rstrip("="),
        "returns_id": _hex(returns),
        "binding": {name: _hex(part) if isinstance(part, bytes) else part for name, part in asdict(BINDING).items()},
        "limits_units": {"var": str(limits.var), "es": str(limits.es)},
        "context": f"0x{bound:064x}",
        "attestation_id": _hex(attestation_id(bound, claim.statement.commitment, returns)),
        "statement": {name: f"0x{value:064x}" for name, value in asdict(claim.statement).items()},
        "proof_inputs": [f"0x{value:064x}" for value in claim.public_inputs],
        "proof": _hex(proof),
        "verifying_key": _hex(key.packed),
        "verification_key_hash": _hex(keccak256(key.packed)),
        "private": {"salt": str(held.salt), "quantities_units": held.quantities},
    }


def _hex(content: bytes) -> str:
    return "0x" + content.hex()


def main() -> None:
    """Write the files."""
    for circuit in EXAMPLES:
        path = ROOT / "circuits" / "inputs" / f"{circuit}.json"
        path.write_text(json.dumps(inputs(example(circuit)), indent=1) + "\n")
    (ROOT / "tests" / "vectors" / "var_claim.json").write_text(json.dumps(vector(), indent=1) + "\n")


if __name__ == "__main__":
    main()
