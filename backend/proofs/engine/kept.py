"""What the services keep: closed epochs, publications, attestations; and their texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from backend.kernel.canonical import canonical_json, decimal_string, encode_bytes
from backend.kernel.errors import Invalid
from backend.kernel.fixed import PRICE_DECIMALS, from_units
from backend.kernel.refusal import Refused
from backend.proofs.types import Matrix

RETURNS_FILE_VERSION = 1
WORD_BYTES = 32
QUANTITY_BITS = 40


class AttestationState(StrEnum):
    """Where a claim stands."""

    PROVED = "proved"
    ATTESTED = "attested"
    BREACHED = "breached"


@dataclass(frozen=True, slots=True)
class ClosedEpoch:
    """An account's committed positions (1e-6, universe order), the salt, and the `epoch.closed` record."""

    account: str
    subject: str
    epoch: int
    universe_id: bytes
    positions: tuple[int, ...]
    salt: int
    commitment: int
    record_id: int
    record_seq: int


@dataclass(frozen=True, slots=True)
class Closing:
    """What closing an epoch did: accounts closed now or before, and those whose holdings cannot be committed to."""

    epoch: int
    closed: tuple[ClosedEpoch, ...]
    refused: tuple[tuple[str, Refused], ...]


@dataclass(frozen=True, slots=True)
class PolicyTerms:
    """A policy as VarAttestor holds it, in the order of its ABI; limits in 1e-16 USD, the tail mass W(1-c)."""

    universe_id: bytes
    verifier: str
    instruments: int
    window: int
    k: int
    tail_numerator: int
    tail_denominator: int
    quantity_bits: int
    limit_bits: int
    pnl_bits: int
    limit: int
    es_limit: int
    circuit_hash: bytes
    verification_key_hash: bytes


@dataclass(frozen=True, slots=True)
class Publication:
    """A matrix on chain: its id, the CID of its file, and the transaction that published it ("" when not ours)."""

    matrix: Matrix
    returns_id: bytes
    cid: str
    tx_hash: str


@dataclass(frozen=True, slots=True)
class ProvedClaim:
    """A proof (256 bytes) and what it is about: the attestation's id, the statement's nine values and its binding."""

    attestation_id: bytes
    statement: tuple[int, ...]
    previous: bytes
    log_id: bytes
    anchor_index: int
    returns_id: bytes
    returns_cid: str
    proof: bytes
    prove_seconds: Decimal

    @property
    def commitment(self) -> int:
        """The position commitment."""
        return self.statement[1]

    @property
    def challenges(self) -> tuple[int, int]:
        """The statement's r and z; the contract computes e."""
        r, z = self.statement[6:8]
        return r, z


@dataclass(frozen=True, slots=True)
class Attestation:
    """A claim and what became of it; USD. VaR and ES are the owner's secrets; es and es_limit None where not proved."""

    account: str
    subject: str
    epoch: int
    policy_id: bytes
    state: AttestationState
    var: Decimal
    limit: Decimal
    es: Decimal | None
    es_limit: Decimal | None
    claim: ProvedClaim | None
    tx_hash: str | None
    gas_used: int | None

    @property
    def broken(self) -> tuple[str, ...]:
        """Which limits the positions do not keep: "var", "es", both or none."""
        es = self.es is not None and self.es_limit is not None and self.es > self.es_limit
        return ("var",) * (self.var > self.limit) + ("es",) * es


@dataclass(frozen=True, slots=True)
class Link:
    """A closed epoch in a wallet's chain of attestations; `failed` names the kind of fault of the newest attempt."""

    epoch: int
    made: Attestation | None
    failed: str | None

    @property
    def state(self) -> str:
        """What became of the epoch, "skipped" where nobody asked."""
        if self.made is not None:
            return self.made.state.value
        return "failed" if self.failed is not None else "skipped"


def word(value: int | bytes) -> str:
    """Return a field element or 32 bytes as 0x-hex of 64 digits."""
    content = value.to_bytes(WORD_BYTES, "big") if isinstance(value, int) else value
    if len(content) != WORD_BYTES:
        raise Invalid(f"expected {WORD_BYTES} bytes, got {len(content)}")
    return "0x" + content.hex()


def unword(text: str) -> bytes:
    """Return the 32 bytes that `word` wrote; raise Invalid."""
    try:
        content = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise Invalid("not 32 bytes in 0x-hex") from error
    if word(content) != text:
        raise Invalid("not 32 bytes in lower-case 0x-hex")
    return content


def position_vector(universe: Sequence[str], holdings: Mapping[str, int]) -> tuple[int, ...] | list[str]:
    """Return the holdings (1e-6) in universe order, or the held instruments that cannot be committed to."""
    outside = [name for name, units in holdings.items() if units and name not in universe]
    too_large = [name for name, units in holdings.items() if abs(units) >= 1 << QUANTITY_BITS]
    if outside or too_large:
        return sorted({*outside, *too_large})
    return tuple(holdings.get(name, 0) for name in universe)


def returns_file(universe: Sequence[str], matrix: Matrix) -> bytes:
    """Return the file that is pinned for a matrix."""
    return canonical_json(
        {
            "universe": list(universe),
            "epoch": matrix.epoch,
            "prices": [decimal_string(from_units(price, PRICE_DECIMALS)) for price in matrix.prices],
            "returns": encode_bytes(matrix.packed),
            "v": RETURNS_FILE_VERSION,
        }
    )


def pack_section(attestor: str, attestation: Attestation) -> dict[str, Any]:
    """Return an evidence pack's `var` (evidence format, section 8)."""
    claim = attestation.claim
    if attestation.state is not AttestationState.ATTESTED or claim is None or attestation.tx_hash is None:
        raise Invalid("only an attested claim is evidence")
    return {
        "attestor": attestor,
        "subject": attestation.subject,
        "epoch": attestation.epoch,
        "policy_id": word(attestation.policy_id),
        "previous": word(claim.previous),
        "anchor_index": claim.anchor_index,
        "position_commitment": word(claim.commitment),
        "returns_id": word(claim.returns_id),
        "returns_cid": claim.returns_cid,
        "public_inputs": [word(value) for value in claim.statement],
        "proof": "0x" + claim.proof.hex(),
        "tx_hash": attestation.tx_hash,
    }
