# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a snarkjs .zkey says of itself: its verifying key and who contributed to it, without trusting any of it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from circuits.prover.refusals import KeyRefused

BASE_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
# Coordinates are stored times 2^256 (Montgomery form)
UNMONTGOMERY = pow(1 << 256, -1, BASE_FIELD)
GROTH16 = 1
MAGIC = b"zkey"
SECTIONS = 64
CONTRIBUTIONS = 1 << 12
CONTRIBUTION_POINTS = 64 + 64 + 64 + 128
POINTS_AFTER_SIZES = 4 + 32 + 4 + 32


@dataclass(frozen=True, slots=True)
class Contribution:
    """One contribution of the second phase; name: what its author wrote; beacon and iterations where it is a beacon."""

    name: str
    hash: str
    beacon: str | None
    iterations_exp: int | None


@dataclass(frozen=True, slots=True)
class Zkey:
    """packed: the verifying key as the contracts hold it; r1cs_hash: snarkjs's hash of the circuit (BLAKE2b)."""

    packed: bytes
    r1cs_hash: str
    contributions: tuple[Contribution, ...]


def read(path: Path) -> Zkey:
    """Read a .zkey's header, its public points and its contributions; raise KeyRefused for anything else."""
    with path.open("rb") as file:
        sections = _sections(file, path.stat().st_size)
        if int.from_bytes(_content(file, sections, 1, 4), "little") != GROTH16:
            raise KeyRefused("the zkey is not of Groth16")
        packed = _packed(_content(file, sections, 2, 4096), _content(file, sections, 3, 1 << 20))
        r1cs_hash, contributions = _contributions(_content(file, sections, 10, 1 << 24))
    return Zkey(packed, r1cs_hash, contributions)


def _sections(file: BinaryIO, size: int) -> dict[int, tuple[int, int]]:
    """Return where each section lies: number to (offset, length)."""
    if file.read(4) != MAGIC:
        raise KeyRefused("not a zkey")
    file.read(4)
    count = int.from_bytes(file.read(4), "little")
    found: dict[int, tuple[int, int]] = {}
    if count > SECTIONS:
        raise KeyRefused("the zkey has too many sections")
    for _ in range(count):
        head = file.read(12)
        number, length = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
        start = file.tell()
        # snarkjs refuses doubled sections too: no two readers may see different keys
        if len(head) != 12 or number in found or start + length > size:
            raise KeyRefused("the zkey is cut or has a doubled section")
        found[number] = (start, length)
        file.seek(start + length)
    return found


def _content(file: BinaryIO, sections: dict[int, tuple[int, int]], number: int, limit: int) -> bytes:
    start, length = sections.get(number, (0, 0))
    if not 0 < length <= limit:
        raise KeyRefused(f"the zkey's section {number} is missing or too large")
    file.seek(start)
    return file.read(length)


def _packed(header: bytes, inputs: bytes) -> bytes:
    """Return alpha1 beta2 gamma2 delta2 IC_0 .. IC_m as the contracts hold them."""
    if int.from_bytes(header[4:36], "little") != BASE_FIELD:
        raise KeyRefused("the zkey is of another curve than BN254")
    public = int.from_bytes(header[POINTS_AFTER_SIZES + 4 : POINTS_AFTER_SIZES + 8], "little")
    points = header[POINTS_AFTER_SIZES + 12 :]
    if len(points) != 3 * 64 + 3 * 128 or len(inputs) != 64 * (public + 1):
        raise KeyRefused("the zkey's header has another form")
    alpha, beta, gamma, delta = points[:64], points[128:256], points[256:384], points[448:576]
    return _big_endian(alpha) + b"".join(_big_endian(point) for point in (beta, gamma, delta)) + _each(inputs)


def _each(points: bytes) -> bytes:
    return b"".join(_big_endian(points[at : at + 64]) for at in range(0, len(points), 64))


def _big_endian(point: bytes) -> bytes:
    """Return a point's coordinates out of Montgomery form, big-endian, imaginary part first."""
    words = [int.from_bytes(point[at : at + 32], "little") for at in range(0, len(point), 32)]
    if any(word >= BASE_FIELD for word in words):
        raise KeyRefused("a coordinate of the zkey lies outside the field")
    plain = [(word * UNMONTGOMERY % BASE_FIELD).to_bytes(32, "big") for word in words]
    if len(plain) == 4:
        plain = [plain[1], plain[0], plain[3], plain[2]]
    return b"".join(plain)


def _contributions(section: bytes) -> tuple[str, tuple[Contribution, ...]]:
    r1cs_hash, count, at = section[:64].hex(), int.from_bytes(section[64:68], "little"), 68
    if count > CONTRIBUTIONS:
        raise KeyRefused("the zkey names too many contributions")
    found = []
    for _ in range(count):
        points, at = section[at : at + CONTRIBUTION_POINTS], at + CONTRIBUTION_POINTS
        transcript, at = section[at : at + 64], at + 64
        kind, length = (
            int.from_bytes(section[at : at + 4], "little"),
            int.from_bytes(section[at + 4 : at + 8], "little"),
        )
        parameters, at = section[at + 8 : at + 8 + length], at + 8 + length
        if len(transcript) != 64 or len(parameters) != length:
            raise KeyRefused("a contribution of the zkey is cut")
        digest = hashlib.blake2b(_each(points[:192]) + _big_endian(points[192:]) + transcript).hexdigest()
        name, iterations, beacon = _parameters(parameters)
        if (kind == 1) != (beacon is not None):
            raise KeyRefused("a contribution of the zkey is neither a beacon nor none")
        found.append(Contribution(name, digest, beacon, iterations))
    if at != len(section):
        raise KeyRefused("the zkey holds more than its contributions")
    return r1cs_hash, tuple(found)


def _parameters(content: bytes) -> tuple[str, int | None, str | None]:
    """Return a contribution's name, its beacon's iterations (as a power of two) and its beacon."""
    name, iterations, beacon, at = "", None, None, 0
    while at < len(content):
        kind = content[at]
        if kind == 2:
            iterations, at = int.from_bytes(content[at + 1 : at + 2], "little"), at + 2
            continue
        length = content[at + 1 : at + 2]
        value = content[at + 2 : at + 2 + (length[0] if length else 0)]
        at += 2 + len(value)
        if kind == 1:
            name = value.decode(errors="replace")
        elif kind == 3:
            beacon = value.hex()
        else:
            raise KeyRefused("a contribution of the zkey has an unknown parameter")
    return name, iterations, beacon
