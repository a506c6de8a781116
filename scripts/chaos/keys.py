"""Forge contributed proving keys, one part at a time: an import must refuse every one of them.

Each forgery is a .zkey that still has the right form; only snarkjs's check against the circuit's constraints and the
powers of tau can tell. About twenty seconds each; --forgeries N takes the first N.
"""

import argparse
import json
import lzma
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.settings import child_environment

ROOT = Path(__file__).resolve().parents[2]
CIRCUIT = "var_4_8_es"
VECTORS = ROOT / "tests" / "vectors" / "zk"
G1, COEFFICIENT = 64, 44
# A .zkey's sections of points, of constraints and of contributions
PARTS = {"IC": 3, "constraints": 4, "A": 5, "B1": 6, "B2": 7, "L": 8, "H": 9}
CONTRIBUTIONS, FIRST_CONTRIBUTION, TRANSCRIPT = 10, 68, 320
PUBLIC_KEY = 64  # of a contribution: after the delta that it led to

Change = Callable[[bytes], bytes]


def sections(content: bytes) -> list[tuple[int, bytes]]:
    """Return a .zkey's sections with their numbers, in their order."""
    found, at = list[tuple[int, bytes]](), 12
    while at < len(content):
        number, length = (int.from_bytes(content[at + a : at + b], "little") for a, b in ((0, 4), (4, 12)))
        found.append((number, content[at + 12 : at + 12 + length]))
        at += 12 + length
    return found


def joined(parts: list[tuple[int, bytes]]) -> bytes:
    """Return a .zkey of these sections."""
    written = (number.to_bytes(4, "little") + len(content).to_bytes(8, "little") + content for number, content in parts)
    return b"zkey" + (1).to_bytes(4, "little") + len(parts).to_bytes(4, "little") + b"".join(written)


def rewritten(content: bytes, number: int, change: Change) -> bytes:
    """Return a .zkey with one section changed."""
    return joined([(found, change(part) if found == number else part) for found, part in sections(content)])


def forgeries(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield forged keys by name."""
    for name, number in PARTS.items():
        yield f"{name}, two entries exchanged", rewritten(content, number, _exchange(name))
    yield "the first contribution's transcript", rewritten(content, CONTRIBUTIONS, _flip(TRANSCRIPT))
    yield "the first contribution's public key", rewritten(content, CONTRIBUTIONS, _copy(PUBLIC_KEY))
    yield "the delta after the first contribution", rewritten(content, CONTRIBUTIONS, _copy(0))
    yield "the constraints' hash", rewritten(content, CONTRIBUTIONS, lambda part: bytes([part[0] ^ 1]) + part[1:])


def _exchange(name: str) -> Change:
    """Exchange the second and third entry: the first may be the point at infinity."""
    size, skip = (COEFFICIENT, 4) if name == "constraints" else (2 * G1 if name == "B2" else G1, 0)

    def change(part: bytes) -> bytes:
        entries = [part[at : at + size] for at in range(skip, len(part), size)]
        other = next(place for place in range(2, len(entries)) if entries[place] != entries[1])
        entries[1], entries[other] = entries[other], entries[1]
        return part[:skip] + b"".join(entries)

    return change


def _flip(offset: int) -> Change:
    at = FIRST_CONTRIBUTION + offset
    return lambda part: part[:at] + bytes([part[at] ^ 1]) + part[at + 1 :]


def _copy(offset: int) -> Change:
    """Put the first contribution's g1_sx in the place of another of its points."""
    at, source = FIRST_CONTRIBUTION + offset, FIRST_CONTRIBUTION + 2 * G1
    return lambda part: part[:at] + part[source : source + G1] + part[at + G1 :]


def imported(folder: Path, content: bytes) -> dict[str, object]:
    """Return what an import of a key answers."""
    file = folder / "forged.zkey"
    file.write_bytes(content)
    powers = VECTORS / "powers_of_tau_12.ptau"
    command = [sys.executable, "-m", "circuits.prover", "import", CIRCUIT, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--zkey", str(file), "--ptau", str(powers)],
        cwd=ROOT, env=child_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> int:
    """Try the honest key and every forgery and print what became of them; exit 1 where a forgery was taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forgeries", type=int, default=100)
    options = parser.parse_args()
    content, started, wrong = lzma.decompress((VECTORS / f"{CIRCUIT}.zkey.xz").read_bytes()), time.monotonic(), 0
    chosen = list(forgeries(content))[: options.forgeries]
    for name, forged in chosen:
        with tempfile.TemporaryDirectory() as folder:
            answer = imported(Path(folder), forged)
            taken = "error" not in answer or any(Path(folder).glob("*/meta.json"))
        wrong += taken
        print(f"{name:<44}{'TAKEN' if taken else answer['error']}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        honest = imported(Path(folder), content)
    print(f"{'the honest key':<44}{honest.get('error', 'taken')}")
    print(f"{len(chosen)} forgeries, {wrong} taken, {time.monotonic() - started:.0f} s")
    return 1 if wrong or "error" in honest else 0


if __name__ == "__main__":
    sys.exit(main())
