"""Who makes and checks Groth16 proofs of the platform's circuits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

Signal = int | Sequence[int]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CircuitKey:
    """A circuit's verifying key and the parameters that it stands for.

    verifying_key: packed points, as the contracts hold it; hashes: 32 bytes; insecure: a development key, made by one
    party; tail: W(1-c) in lowest terms.
    """

    circuit: str
    circuit_hash: bytes
    verifying_key: bytes
    verification_key_hash: bytes
    insecure: bool
    instruments: int
    window: int
    k: int
    confidence: Decimal
    tail: Fraction
    expected_shortfall: bool
    quantity_bits: int
    limit_bits: int
    pnl_bits: int


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified proof: 256 bytes, A B C, G2 imaginary parts first (EIP-197)."""

    encoded: bytes
    public_inputs: tuple[int, ...]
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class NoProof:
    """The inputs satisfy no statement of the circuit: nothing can be proved."""

    reason: str


class Prover(Protocol):
    """Makes keys, proofs and verdicts; raises Unavailable when it cannot work at all."""

    async def key(self, circuit: str) -> CircuitKey:
        """Return the circuit's key."""
        ...

    async def prove(
        self, circuit: str, inputs: Mapping[str, Signal], public_inputs: Sequence[int], progress: Progress
    ) -> Proof | NoProof:
        """Return a proof that was verified after it was made; cancelling the task stops the work."""
        ...

    async def verify(self, circuit: str, proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Return whether the proof holds for the circuit's key."""
        ...
