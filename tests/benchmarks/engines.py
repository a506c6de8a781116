"""Pure computations: VaR, record commitments, canonical JSON, the VaR proof's verification."""

import hmac
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import groth16py
import numpy as np
import orjson
from numpy.typing import NDArray

from backend.kernel import merkle
from backend.kernel.canonical import JsonValue, canonical_json
from backend.kernel.commitment import bind_count, commit, field_bytes, record_salts
from backend.kernel.field import SCALAR_FIELD
from backend.proofs.engine.claim import fold
from backend.risk.engine.var import book
from backend.transparency.engine.verifier import require_groth16
from tests.benchmarks.harness import Benchmark, Pair, Side

VECTOR = Path(__file__).resolve().parents[1] / "vectors" / "var_claim.json"
CONFIDENCE = Decimal("0.95")
SALT = bytes(range(32))


@contextmanager
def var_after_orders(instruments: int, window: int) -> Iterator[Pair]:
    """Yield the VaR after one order of each instrument: the integer engine, and numpy on float64."""
    rng = random.Random(instruments)
    rows = [[rng.randint(-50_000, 50_000) for _ in range(instruments)] for _ in range(window)]
    prices = [rng.randint(100_000, 2_000_000) for _ in range(instruments)]
    held = [rng.randint(-(10**9), 10**9) for _ in range(instruments)]
    orders = [(at, rng.randint(-(10**8), 10**8)) for at in range(instruments)]
    kept = book(held, prices, rows)
    R = np.array(rows, dtype=np.float64)
    exposures = np.array([q * p for q, p in zip(held, prices, strict=True)], dtype=np.float64)
    tail = 1 - float(CONFIDENCE)

    def ours() -> list[Decimal]:
        return [kept.after(at, quantity).var(CONFIDENCE) for at, quantity in orders]

    def peer() -> list[float]:
        return [numpy_var(R, exposures, at, float(quantity * prices[at]), tail) for at, quantity in orders]

    def agree(exact: list[Decimal], floating: list[float]) -> bool:
        return bool(np.allclose([float(value) for value in exact], floating, rtol=1e-9, atol=0)) and max(exact) > 0

    yield Pair(Side("integer book", ours), Side("numpy R @ x, quantile", peer), len(orders), agree)


def numpy_var(
    R: NDArray[np.float64], exposures: NDArray[np.float64], instrument: int, change: float, tail: float
) -> float:
    """Return the VaR in USD after one order; R (W, N) 1e-6, exposures (N,) 1e-10 USD."""
    x = exposures.copy()
    x[instrument] += change
    return max(0.0, -float(np.quantile(R @ x, tail, method="inverted_cdf"))) * 1e-16


def record_of(count: int) -> dict[str, JsonValue]:
    """Return a record of strings, as long as an order's are."""
    return {f"field_{number:02d}": sha256(b"%d" % number).hexdigest()[: 8 + number] for number in range(count)}


def hmac_salts(names: Any, record_salt: bytes) -> dict[str, bytes]:
    """Return one HMAC-SHA256 of the record's salt a field, the usual way to derive many salts from one."""
    return {name: hmac.digest(record_salt, name.encode(), sha256) for name in sorted(names)}


def commit_with(fields: dict[str, JsonValue], salts: dict[str, bytes]) -> bytes:
    """Return the commitment over given salts."""
    leaves = [merkle.leaf_hash(field_bytes(name, fields[name], salt)) for name, salt in salts.items()]
    return bind_count(len(leaves), merkle.root(leaves))


@contextmanager
def commitment(count: int) -> Iterator[Pair]:
    """Yield the commitment to a record: salts from one SHAKE-256 stream, and from an HMAC a field."""
    fields = record_of(count)

    def agree(mine: bytes, theirs: bytes) -> bool:
        # Other salts give another commitment: the trees agree when they are given the same salts.
        return mine == commit_with(fields, record_salts(fields, SALT)) and len(mine) == len(theirs) and mine != theirs

    yield Pair(
        Side("SHAKE-256 salts", partial(commit, fields, SALT)),
        Side("HMAC-SHA256 salts", lambda: commit_with(fields, hmac_salts(fields, SALT))),
        1,
        agree,
    )


@contextmanager
def canonical(count: int) -> Iterator[Pair]:
    """Yield canonical JSON of a record: our encoder with its refusals, and orjson with none of them."""
    fields = record_of(count)
    yield Pair(
        Side("canonical_json", partial(canonical_json, fields)),
        Side("orjson OPT_SORT_KEYS", partial(orjson.dumps, fields, option=orjson.OPT_SORT_KEYS)),
        1,
        lambda mine, theirs: bool(mine == theirs),
    )


def claim() -> tuple[bytes, bytes, list[int]]:
    """Return the stored claim's verifying key, proof and public inputs."""
    vector = json.loads(VECTOR.read_text())
    inputs = [int(value, 16) for value in vector["proof_inputs"]]
    return bytes.fromhex(vector["verifying_key"][2:]), bytes.fromhex(vector["proof"][2:]), inputs


def snarkjs_key(packed: bytes) -> str:
    """Return a packed verifying key in snarkjs's JSON."""
    words = [str(int.from_bytes(packed[at : at + 32], "big")) for at in range(0, len(packed), 32)]
    g2 = [[[words[at + 1], words[at]], [words[at + 3], words[at + 2]], ["1", "0"]] for at in (2, 6, 10)]
    ic = [[words[at], words[at + 1], "1"] for at in range(14, len(words), 2)]
    return json.dumps(
        {
            "protocol": "groth16",
            "curve": "bn128",
            "nPublic": len(ic) - 1,
            "vk_alpha_1": [words[0], words[1], "1"],
            "vk_beta_2": g2[0],
            "vk_gamma_2": g2[1],
            "vk_delta_2": g2[2],
            "IC": ic,
        }
    )


@contextmanager
def groth16() -> Iterator[Pair]:
    """Yield the verification of one VaR proof: the stranger's file over py_ecc, and groth16py's compiled code."""
    key, proof, inputs = claim()
    verifier = groth16py.Verifier(groth16py.VerifyingKey.from_snarkjs(snarkjs_key(key)))

    def ours() -> bool:
        require_groth16(key, proof, inputs)
        return True

    def peer() -> bool:
        return bool(verifier.verify(proof, inputs))

    yield Pair(Side("verifier.py, py_ecc", ours), Side("groth16py, compiled", peer), 1, lambda a, b: bool(a and b))


@contextmanager
def returns_fold() -> Iterator[Pair]:
    """Yield the fold of a 16 x 90 matrix that a verifier recomputes: by Horner's rule, and term by term."""
    rng = random.Random(7)
    rows = [[rng.randint(-50_000, 50_000) for _ in range(16)] for _ in range(90)]
    prices = [rng.randint(100_000, 2_000_000) for _ in range(16)]
    r, z = rng.randrange(SCALAR_FIELD), rng.randrange(SCALAR_FIELD)

    def terms() -> int:
        return (
            sum(
                pow(z, n, SCALAR_FIELD) * price * pow(r, w, SCALAR_FIELD) * rows[w][n]
                for n, price in enumerate(prices)
                for w in range(90)
            )
            % SCALAR_FIELD
        )

    yield Pair(
        Side("Horner", lambda: fold(prices, rows, r, z)), Side("a power a term", terms), 1, lambda a, b: bool(a == b)
    )


BENCHMARKS = (
    Benchmark("var-16x90", "order", partial(var_after_orders, 16, 90)),
    Benchmark("var-64x250", "order", partial(var_after_orders, 64, 250)),
    Benchmark("commitment-25", "record", partial(commitment, 25)),
    Benchmark("canonical-json-25", "record", partial(canonical, 25)),
    Benchmark("groth16-verify", "proof", groth16),
    Benchmark("fold-16x90", "claim", returns_fold),
)
