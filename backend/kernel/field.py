"""Arithmetic in the BN254 scalar field and the way other values enter it."""

from backend.kernel.errors import Invalid

# EIP-197: the order of the groups G1, G2, hence the field that circuits compute in
SCALAR_FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617
LIMB = 1 << 128


def to_field(value: int) -> int:
    """Return the representative in [0, r) of a signed integer."""
    return value % SCALAR_FIELD


def to_signed(element: int) -> int:
    """Return the integer in (-r/2, r/2) that an element stands for."""
    return element - SCALAR_FIELD if element > SCALAR_FIELD // 2 else element


def limbs(word: bytes) -> tuple[int, int]:
    """Return the high and the low 128 bits of a 32-byte word, which may exceed the field."""
    if len(word) != 32:
        raise Invalid(f"expected 32 bytes, got {len(word)}")
    return int.from_bytes(word[:16], "big"), int.from_bytes(word[16:], "big")


def bytes_to_field(word: bytes) -> int:
    """Return big-endian bytes reduced into the field."""
    return int.from_bytes(word, "big") % SCALAR_FIELD
