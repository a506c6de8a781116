"""Development keys and one portfolio a circuit, shared by every test that proves."""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import groth16py

from backend.proofs.engine.claim import assemble, tail_witness
from backend.proofs.engine.returns import pack_returns, universe_id, unpack_returns
from backend.proofs.types import Binding, CircuitShape, Claim, Limits, Matrix, Positions, TailWitness
from backend.risk.engine.var import attestable_es_units, attestable_var_units, pnl_units

ROOT = Path(__file__).resolve().parents[2]
KEYS = ROOT / ".refi" / "zk"
CIRCUITS: dict[str, dict[str, Any]] = json.loads((ROOT / "circuits" / "circuits.json").read_text())
CIRCUIT = "var_16_90_es"
EPOCH = 17000
TICKERS = tuple(f"INST{number:02d}" for number in range(64))
BINDING = Binding(
    chain_id=42069,
    attestor=bytes.fromhex("a7" * 20),
    subject=bytes.fromhex("5b" * 20),
    epoch=EPOCH,
    policy_id=bytes.fromhex("01" * 32),
    previous=bytes(32),
    log_id=bytes.fromhex("02" * 32),
    anchor_index=0,
)


@dataclass(frozen=True, slots=True)
class Proving:
    """A loaded key pair."""

    proving: groth16py.ProvingKey
    verifying: groth16py.Verifier
    packed: bytes

    def prove(self, claim: Claim) -> bytes:
        """Return a proof, which may not verify."""
        return groth16py.prove(self.proving, dict(claim.inputs))

    def verify(self, proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Return whether the proof holds; a malformed one does not."""
        try:
            return bool(self.verifying.verify(proof, list(public_inputs)))
        except (groth16py.VerificationError, groth16py.EncodingError):
            return False

    def accepts(self, claim: Claim) -> bool:
        """Return whether a proof of the claim can be made at all."""
        try:
            return self.verify(self.prove(claim), claim.public_inputs)
        except groth16py.WitnessError:
            return False


@lru_cache(maxsize=4)
def proving_key(circuit: str = CIRCUIT) -> Proving:
    """Return a circuit's development key, made if it is not there."""
    command = [sys.executable, "-m", "circuits.prover", "setup", circuit, "--folder", str(KEYS)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    folder = KEYS / circuit
    packed = json.loads((folder / "meta.json").read_text())["verification_key"]
    return Proving(
        groth16py.ProvingKey.load(str(folder / "proving.key")),
        groth16py.Verifier(groth16py.VerifyingKey.load(str(folder / "verifying.key"))),
        bytes.fromhex(packed.removeprefix("0x")),
    )


def shape(circuit: str = CIRCUIT) -> CircuitShape:
    """Return a circuit's parameters."""
    entry = CIRCUITS[circuit]
    return CircuitShape(
        instruments=entry["instruments"],
        window=entry["window"],
        confidence=Fraction(entry["confidence"]),
        expected_shortfall=entry["expected_shortfall"],
        quantity_bits=entry["quantity_bits"],
        limit_bits=entry["limit_bits"],
        pnl_bits=entry["pnl_bits"],
    )


def matrix(seed: int = 7, epoch: int = EPOCH, circuit: str = CIRCUIT) -> Matrix:
    """Return pseudo-random market data: returns within 5 %, prices of 10 to 200 USD."""
    rng, of = random.Random(seed), shape(circuit)
    rows = [[rng.randint(-50_000, 50_000) for _ in range(of.instruments)] for _ in range(of.window)]
    prices = tuple(rng.randint(100_000, 2_000_000) for _ in range(of.instruments))
    return Matrix(universe_id(TICKERS[: of.instruments]), epoch, prices, pack_returns(rows))


def positions(seed: int = 7, circuit: str = CIRCUIT) -> Positions:
    """Return pseudo-random positions, long and short, of up to 1,000 shares."""
    rng = random.Random(seed)
    quantities = tuple(rng.randint(-(10**9), 10**9) for _ in range(shape(circuit).instruments))
    return Positions(rng.getrandbits(250), quantities)


def pnl(held: Positions, market: Matrix) -> list[int]:
    """Return the daily P&L in units."""
    return pnl_units(held.quantities, market.prices, unpack_returns(market.packed, len(market.prices)))


def tightest(held: Positions, market: Matrix, circuit: str = CIRCUIT) -> Limits:
    """Return the smallest limits that can be proved."""
    days, of = pnl(held, market), shape(circuit)
    es = attestable_es_units(days, of.confidence) if of.expected_shortfall else 0
    return Limits(attestable_var_units(days, of.confidence), es)


def flags(days: Sequence[int], count: int) -> tuple[int, ...]:
    """Return exception flags on the worst days."""
    worst = set(sorted(range(len(days)), key=days.__getitem__)[:count])
    return tuple(int(day in worst) for day in range(len(days)))


def honest(binding: Binding, held: Positions, market: Matrix, limits: Limits, circuit: str = CIRCUIT) -> Claim:
    """Return the claim as an honest prover assembles it, even where a limit is too low."""
    days, of = pnl(held, market), shape(circuit)
    return assemble(binding, held, market, limits, of, pnl=days, witness=tail_witness(days, of.confidence))


def claimed(
    held: Positions,
    market: Matrix,
    limits: Limits,
    circuit: str = CIRCUIT,
    *,
    days: Sequence[int] | None = None,
    marked: Sequence[int] | None = None,
    v: int | None = None,
    commitment: int | None = None,
    binding: Binding = BINDING,
) -> Claim:
    """Return a claim whose parts are the honest ones unless given otherwise."""
    pnl_days = pnl(held, market) if days is None else list(days)
    true = tail_witness(pnl_days, shape(circuit).confidence)
    witness = TailWitness(true.flags if marked is None else tuple(marked), true.v if v is None else v)
    return assemble(binding, held, market, limits, shape(circuit), pnl=pnl_days, witness=witness, commitment=commitment)
