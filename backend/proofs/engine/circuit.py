"""The prover's circuit against the one that a policy on chain pins."""

from fractions import Fraction

from backend.kernel.errors import Conflict
from backend.ports.prover import CircuitKey
from backend.proofs.engine.kept import PolicyTerms, word
from backend.proofs.types import CircuitShape


def require_circuit(terms: PolicyTerms, key: CircuitKey) -> None:
    """Raise Conflict where anything that the policy pins is not the prover's key's."""
    pinned = {
        "instruments": (terms.instruments, key.instruments),
        "window": (terms.window, key.window),
        "k": (terms.k, key.k),
        "tail": (f"{terms.tail_numerator}/{terms.tail_denominator}", f"{key.tail.numerator}/{key.tail.denominator}"),
        "quantity bits": (terms.quantity_bits, key.quantity_bits),
        "limit bits": (terms.limit_bits, key.limit_bits),
        "P&L bits": (terms.pnl_bits, key.pnl_bits),
        "circuit hash": (word(terms.circuit_hash), word(key.circuit_hash)),
        "verification key hash": (word(terms.verification_key_hash), word(key.verification_key_hash)),
    }
    other = [f"{name} {asked}, not {ours}" for name, (asked, ours) in pinned.items() if asked != ours]
    if terms.es_limit and not key.expected_shortfall:
        other.append("an expected shortfall")
    if other:
        raise Conflict(f"the policy asks for another circuit or key than the prover's: {'; '.join(other)}")


def shape_of(key: CircuitKey) -> CircuitShape:
    """Return what a key's circuit proves."""
    return CircuitShape(
        instruments=key.instruments,
        window=key.window,
        confidence=Fraction(key.confidence),
        expected_shortfall=key.expected_shortfall,
        quantity_bits=key.quantity_bits,
        limit_bits=key.limit_bits,
        pnl_bits=key.pnl_bits,
    )
