"""What a VaR proof is about, as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Matrix:
    """Published market data of one (universe, epoch).

    prices (N,), scale 1e-4 USD, each in (0, 2^32); packed: W rows of N returns, oldest day first, signed 24-bit big
    endian at 1e-6.
    """

    universe_id: bytes
    epoch: int
    prices: tuple[int, ...]
    packed: bytes


@dataclass(frozen=True, slots=True)
class Binding:
    """What a proof is for, and cannot be used beyond: addresses are 20 bytes, ids and hashes 32."""

    chain_id: int
    attestor: bytes
    subject: bytes
    epoch: int
    policy_id: bytes
    previous: bytes
    log_id: bytes
    anchor_index: int


@dataclass(frozen=True, slots=True)
class Statement:
    """The ten field elements that a proof is about, in the order that they are hashed."""

    context: int
    commitment: int
    universe_hi: int
    universe_lo: int
    returns_hi: int
    returns_lo: int
    limit: int
    r: int
    z: int
    e: int

    def values(self) -> tuple[int, ...]:
        """Return the ten values in order."""
        return (
            self.context,
            self.commitment,
            self.universe_hi,
            self.universe_lo,
            self.returns_hi,
            self.returns_lo,
            self.limit,
            self.r,
            self.z,
            self.e,
        )


@dataclass(frozen=True, slots=True)
class Positions:
    """What is never shown: signed quantities (N,), scale 1e-6, and the salt of their commitment."""

    salt: int
    quantities: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement with the private witness that proves it; `inputs` are the circuit's signals."""

    statement: Statement
    public_inputs: tuple[int, ...]
    inputs: dict[str, int | Sequence[int]]


@dataclass(frozen=True, slots=True)
class Breach:
    """No proof exists: the VaR exceeds the limit (USD)."""

    var: Decimal
    limit: Decimal


@dataclass(frozen=True, slots=True)
class CircuitShape:
    """A circuit's parameters; the key of every other shape proves something else."""

    instruments: int
    window: int
    confidence: Fraction
    quantity_bits: int
    limit_bits: int
