"""One development key and one portfolio, shared by every test that proves."""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import groth16py

from backend.proofs.engine.claim import assemble
from backend.proofs.engine.returns import pack_returns, universe_id, unpack_returns
from backend.proofs.types import Binding, CircuitShape, Claim, Matrix, Positions
from backend.risk.engine.var import attestable_var_units, pnl_units

ROOT = Path(__file__).resolve().parents[2]
KEYS = ROOT / ".refi" / "zk"
CIRCUIT = "var_16_90"
SHAPE = CircuitShape(16, 90, Fraction(95, 100), 40, 100)
EPOCH = 17000
TICKERS = tuple(f"INST{number:02d}" for number in range(16))
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


@lru_cache(maxsize=1)
def proving_key() -> Proving:
    """Return the development key, made if it is not there."""
    command = [sys.executable, "-m", "circuits.prover", "setup", CIRCUIT, "--folder", str(KEYS)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    folder = KEYS / CIRCUIT
    packed = json.loads((folder / "meta.json").read_text())["verification_key"]
    return Proving(
        groth16py.ProvingKey.load(str(folder / "proving.key")),
        groth16py.Verifier(groth16py.VerifyingKey.load(str(folder / "verifying.key"))),
        bytes.fromhex(packed.removeprefix("0x")),
    )


def matrix(seed: int = 7, epoch: int = EPOCH) -> Matrix:
    """Return pseudo-random market data: returns within 5 %, prices of 10 to 200 USD."""
    rng = random.Random(seed)
    rows = [[rng.randint(-50_000, 50_000) for _ in range(16)] for _ in range(90)]
    prices = tuple(rng.randint(100_000, 2_000_000) for _ in range(16))
    return Matrix(universe_id(TICKERS), epoch, prices, pack_returns(rows))


def positions(seed: int = 7) -> Positions:
    """Return pseudo-random positions, long and short, of up to 1,000 shares."""
    rng = random.Random(seed)
    return Positions(rng.getrandbits(250), tuple(rng.randint(-(10**9), 10**9) for _ in range(16)))


def pnl(held: Positions, market: Matrix) -> list[int]:
    """Return the daily P&L in units."""
    return pnl_units(held.quantities, market.prices, unpack_returns(market.packed, 16))


def var_units(held: Positions, market: Matrix) -> int:
    """Return the smallest limit that can be proved."""
    return attestable_var_units(pnl(held, market), SHAPE.confidence)


def flags(days: Sequence[int], count: int = 4) -> list[int]:
    """Return exception flags on the worst days."""
    worst = set(sorted(range(len(days)), key=days.__getitem__)[:count])
    return [int(day in worst) for day in range(len(days))]


def honest(binding: Binding, held: Positions, market: Matrix, limit: int) -> Claim:
    """Return the claim as an honest prover assembles it, even where the limit is too low."""
    days = pnl(held, market)
    return assemble(binding, held, market, limit, pnl=days, exceeds=flags(days))
