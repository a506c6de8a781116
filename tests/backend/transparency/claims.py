"""Claims with a toy key whose trapdoor is known: a policy of two instruments and three days."""

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from py_ecc import optimized_bn128 as bn

from backend.proofs.engine.returns import pack_returns, universe_id
from backend.proofs.types import Matrix
from tests.backend.transparency.examined import raw

SUBJECT, GATE, RELAY = ("0x" + part * 20 for part in ("5b", "9a", "4e"))
ATTESTOR, GROTH16, POLICY_ID = "0x" + "a7" * 20, "0x" + "67" * 20, b"p".ljust(32, b"\0")
ORACLE, CIRCUIT_HASH = "0x" + "0c" * 20, "0x" + "c5" * 32

ORDER = bn.curve_order


def g1_bytes(scalar: int) -> bytes:
    x, y = bn.normalize(bn.multiply(bn.G1, scalar % ORDER))
    return int(x).to_bytes(32, "big") + int(y).to_bytes(32, "big")


def g2_bytes(scalar: int) -> bytes:
    x, y = bn.normalize(bn.multiply(bn.G2, scalar % ORDER))
    parts = (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0])
    return b"".join(int(part).to_bytes(32, "big") for part in parts)


ALPHA, BETA, GAMMA, DELTA, IC = 11, 13, 17, 19, (23, 29, 31, 37)
KEY = g1_bytes(ALPHA) + b"".join(map(g2_bytes, (BETA, GAMMA, DELTA))) + b"".join(map(g1_bytes, IC))


def simulated_proof(inputs: tuple[int, ...]) -> bytes:
    """Return a proof made with the key's trapdoor: A = a, B = b, C = (ab - alpha beta - ic gamma) / delta."""
    a, b = 41, 43
    combined = IC[0] + sum(scalar * value for scalar, value in zip(IC[1:], inputs, strict=True))
    c = (a * b - ALPHA * BETA - combined * GAMMA) * pow(DELTA, -1, ORDER)
    return g1_bytes(a) + g2_bytes(b) + g1_bytes(c)


MATRIX = Matrix(
    universe_id=universe_id(["AAPL", "MSFT"]),
    epoch=17000,
    prices=(1872500, 99900),
    packed=pack_returns([[12000, -5000], [-31000, 400], [0, -1]]),
)
COMMITMENT, LIMIT, ES_LIMIT = 0x1234567, 10**20, 15 * 10**19
# The words of VarAttestor.policyOf, in order.
POLICY = {
    "universe_id": MATRIX.universe_id,
    "verifier": GROTH16,
    "instruments": 2,
    "window": 3,
    "k": 1,
    "tail_numerator": 3,
    "tail_denominator": 4,
    "quantity_bits": 40,
    "limit_bits": 82,
    "pnl_bits": 83,
    "limit": LIMIT,
    "es_limit": ES_LIMIT,
    "circuit_hash": raw(CIRCUIT_HASH),
    "key_hash": keccak(KEY),
}


def policy_words(**changes: Any) -> bytes:
    """Return what policyOf answers."""
    types = ["bytes32", "address", *["uint16"] * 4, *["uint8"] * 4, "uint128", "uint128", "bytes32", "bytes32"]
    return encode(types, list((POLICY | changes).values()))
