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
    """The nine field elements that a proof is about, in the order that they are hashed.

    attestation: the attestation's id in the field, which binds context, commitment and returns; limits in 1e-16 USD,
    es_limit zero where no expected shortfall is proved.
    """

    attestation: int
    commitment: int
    universe_hi: int
    universe_lo: int
    limit: int
    es_limit: int
    r: int
    z: int
    e: int

    def values(self) -> tuple[int, ...]:
        """Return the nine values in order."""
        return (
            self.attestation,
            self.commitment,
            self.universe_hi,
            self.universe_lo,
            self.limit,
            self.es_limit,
            self.r,
            self.z,
            self.e,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What a policy allows, 1e-16 USD; es zero: no expected shortfall is attested."""

    var: int
    es: int = 0


@dataclass(frozen=True, slots=True)
class Positions:
    """What is never shown: signed quantities (N,), scale 1e-6, and the salt of their commitment."""

    salt: int
    quantities: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TailWitness:
    """Why the limits hold: flags (W,) on the k-1 worst days and v, the k-th largest loss (signed, 1e-16 USD)."""

    flags: tuple[int, ...]
    v: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement with the private witness that proves it; `inputs` are the circuit's signals."""

    statement: Statement
    public_inputs: tuple[int, ...]
    inputs: dict[str, int | Sequence[int]]


@dataclass(frozen=True, slots=True)
class Breach:
    """No proof exists: VaR or expected shortfall exceeds its limit (USD; es and es_limit None where not asked for)."""

    var: Decimal
    limit: Decimal
    es: Decimal | None
    es_limit: Decimal | None


@dataclass(frozen=True, slots=True)
class CircuitShape:
    """A circuit's parameters; the key of every other shape proves something else."""

    instruments: int
    window: int
    confidence: Fraction
    expected_shortfall: bool
    quantity_bits: int
    limit_bits: int
    pnl_bits: int
