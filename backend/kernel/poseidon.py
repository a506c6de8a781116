"""Poseidon over the BN254 scalar field, with the parameters that circomlib's circuits use.

Source: Grassi, Khovratovich, Rechberger, Roy, Schofnegger, "Poseidon" (USENIX Security 2021): S-box x^5, 8 full rounds,
partial rounds for 128-bit security rounded up as circomlib does; constants from the paper's Grain LFSR (appendix F).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from backend.kernel.errors import Invalid
from backend.kernel.field import SCALAR_FIELD, limbs, to_field

FULL_ROUNDS = 8
PARTIAL_ROUNDS = (56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65, 70, 60, 64, 68)
FIELD_BITS = 254
RATE = 16

# ASCII read as a big-endian integer: it starts the capacity element of the chain
POSITION_DOMAIN = int.from_bytes(b"refi/position/v1", "big")
QUANTITY_BITS = 40
QUANTITIES_AN_ELEMENT = 6

Matrix = tuple[tuple[int, ...], ...]


def _grain_bits(width: int, partial: int) -> Iterator[int]:
    """Yield the Grain LFSR's self-shrunk bits for a state of `width` elements."""
    seed = f"{1:02b}{0:04b}{FIELD_BITS:012b}{width:012b}{FULL_ROUNDS:010b}{partial:010b}" + "1" * 30
    state = int(seed[::-1], 2)  # bit i of the integer is bit i of the register
    # Taps reach bit 62 of 80, so 18 new bits depend on old ones only: clock 16 at a time
    mask = (1 << 16) - 1
    clocks = 0
    while True:
        fresh = (state ^ state >> 13 ^ state >> 23 ^ state >> 38 ^ state >> 51 ^ state >> 62) & mask
        state = state >> 16 | fresh << 64
        clocks += 16
        if clocks > 160:
            for place in range(0, 16, 2):
                if fresh >> place & 1:
                    yield fresh >> place + 1 & 1


def _grain_elements(bits: Iterator[int]) -> Iterator[int]:
    while True:
        value = 0
        for _ in range(FIELD_BITS):
            value = value << 1 | next(bits)
        yield value


@lru_cache(maxsize=len(PARTIAL_ROUNDS))
def _parameters(width: int) -> tuple[tuple[tuple[int, ...], ...], Matrix]:
    """Return the round constants, one row a round, and the MDS matrix for a state of `width` elements."""
    partial = PARTIAL_ROUNDS[width - 2]
    elements = _grain_elements(_grain_bits(width, partial))
    below = (value for value in elements if value < SCALAR_FIELD)
    rows = tuple(tuple(next(below) for _ in range(width)) for _ in range(FULL_ROUNDS + partial))
    while True:
        points = [next(elements) % SCALAR_FIELD for _ in range(2 * width)]
        if len(set(points)) == len(points):
            break
    left, right = points[:width], points[width:]
    # A Cauchy matrix: every square submatrix is invertible
    return rows, tuple(tuple(pow(x + y, -1, SCALAR_FIELD) for y in right) for x in left)


def permute(state: Sequence[int]) -> tuple[int, ...]:
    """Apply the Poseidon permutation to 2 to 17 field elements."""
    width = len(state)
    rows, matrix = _parameters(width)
    half = FULL_ROUNDS // 2
    last_partial = len(rows) - half
    values = list(state)
    for number, row in enumerate(rows):
        values = [(value + constant) % SCALAR_FIELD for value, constant in zip(values, row, strict=True)]
        if half <= number < last_partial:
            values[0] = pow(values[0], 5, SCALAR_FIELD)
        else:
            values = [pow(value, 5, SCALAR_FIELD) for value in values]
        values = [
            sum(factor * value for factor, value in zip(line, values, strict=True)) % SCALAR_FIELD for line in matrix
        ]
    return tuple(values)


def poseidon(inputs: Sequence[int]) -> int:
    """Return circomlib's Poseidon hash of 1 to 16 field elements."""
    return permute((0, *inputs))[0]


def absorb(capacity: int, inputs: Sequence[int]) -> int:
    """Absorb elements 16 at a time, zero-padded, and return the new capacity element.

    An overwrite-mode sponge: the capacity runs on, the 16 rate elements are overwritten by the next chunk. The number
    of inputs is not bound; every caller uses a fixed one.
    """
    for start in range(0, len(inputs), RATE):
        chunk = [to_field(value) for value in inputs[start : start + RATE]]
        capacity = permute((capacity, *chunk, *[0] * (RATE - len(chunk))))[0]
    return capacity


def pack(values: Sequence[int], bits: int, per: int) -> list[int]:
    """Return sum_j values[per i + j] 2^(bits j) for each i: `per` values an element; their range is not checked."""
    return [
        sum(value << bits * place for place, value in enumerate(values[start : start + per]))
        for start in range(0, len(values), per)
    ]


def position_commitment(salt: int, universe_id: bytes, quantities: Sequence[int]) -> int:
    """Commit to signed quantities (scale 1e-6, |q| < 2^40) of a universe's instruments, in universe order.

    The capacity starts as POSITION_DOMAIN; absorbed are salt, the universe id's high and low 128 bits, and the
    quantities, each as q + 2^40 in 41 bits, six an element, the first one lowest. Raises Invalid beyond the range.
    """
    if any(abs(quantity) >= 1 << QUANTITY_BITS for quantity in quantities):
        raise Invalid(f"a quantity exceeds {QUANTITY_BITS} bits")
    biased = [quantity + (1 << QUANTITY_BITS) for quantity in quantities]
    packed = pack(biased, QUANTITY_BITS + 1, QUANTITIES_AN_ELEMENT)
    return absorb(POSITION_DOMAIN, (salt, *limbs(universe_id), *packed))
