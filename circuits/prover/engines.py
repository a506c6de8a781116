# SPDX-License-Identifier: GPL-3.0-or-later
"""Who proves: arkworks through groth16py in this process, or snarkjs in a node process; each verifies its proofs."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import groth16py

from circuits.prover import keys, snarkjs
from circuits.prover.measure import peak_bytes
from circuits.prover.zkey import BASE_FIELD

SCALAR_FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617
PROOF_BYTES = 256
UNSATISFIED = "the inputs do not satisfy the circuit"

Answer = dict[str, Any]
Inputs = Mapping[str, int | list[Any]]


class Engine(Protocol):
    """Proves and verifies with a key that was checked before."""

    def prove(
        self, meta: keys.Meta, folder: Path, inputs: Inputs, public: Sequence[int], progress: keys.Progress
    ) -> Answer:
        """Return {"proof": 256 bytes, "cpu_seconds", "peak_bytes"} of a verified proof, or {"refused": why}."""
        ...

    def verify(self, meta: keys.Meta, folder: Path, proof: bytes, public: Sequence[int]) -> bool:
        """Return whether a proof holds."""
        ...


class Groth16py:
    """arkworks in this process."""

    def prove(
        self, meta: keys.Meta, folder: Path, inputs: Inputs, public: Sequence[int], progress: keys.Progress
    ) -> Answer:
        """Prove, then verify: groth16py proves unsatisfied witnesses too, only verification tells."""
        progress("loading the key")
        keys.require_files(meta, folder, "proving.key")
        proving = keys.load_proving(meta["circuit"], folder)
        progress("proving")
        started = time.process_time()
        try:
            proof = groth16py.prove(proving, dict(inputs))
        except (groth16py.WitnessError, groth16py.EncodingError) as error:
            return {"refused": f"no witness: {error}"}
        seconds = time.process_time() - started
        progress("verifying")
        if not self.verify(meta, folder, proof, public):
            return {"refused": UNSATISFIED}
        return {"proof": proof, "cpu_seconds": seconds, "peak_bytes": peak_bytes()}

    def verify(self, meta: keys.Meta, folder: Path, proof: bytes, public: Sequence[int]) -> bool:
        """Return whether a proof holds."""
        verifier = groth16py.Verifier(keys.load_verifying(meta["circuit"], folder))
        try:
            return bool(verifier.verify(proof, list(public)))
        except (groth16py.VerificationError, groth16py.EncodingError, OverflowError):
            return False


class Snarkjs:
    """snarkjs in a node process; proves only with keys that were imported from a .zkey."""

    def prove(
        self, meta: keys.Meta, folder: Path, inputs: Inputs, public: Sequence[int], progress: keys.Progress
    ) -> Answer:
        """Prove and verify in one node process; the figures are that process's."""
        keys.require_files(meta, folder, "circuit.zkey", "circuit.wasm", "vk.json")
        place = folder / meta["circuit"]
        request = {
            "task": "prove",
            "wasm": str(place / "circuit.wasm"),
            "zkey": str(place / "circuit.zkey"),
            "key": str(place / "vk.json"),
            "inputs": {name: _text(value) for name, value in inputs.items()},
            "public_inputs": [str(value) for value in public],
        }
        answer = snarkjs.ask(request, progress)
        if "refused" in answer:
            return answer
        if not answer["valid"]:
            return {"refused": UNSATISFIED}
        proof = snarkjs.to_words(answer["proof"])
        return {"proof": proof, "cpu_seconds": answer["cpu_seconds"], "peak_bytes": answer["peak_bytes"]}

    def verify(self, meta: keys.Meta, folder: Path, proof: bytes, public: Sequence[int]) -> bool:
        """Return whether a proof holds; what snarkjs would reduce or overlook is refused before it is asked."""
        keys.require_files(meta, folder, "vk.json")
        words = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, len(proof), 32)]
        if len(proof) != PROOF_BYTES or any(word >= BASE_FIELD for word in words):
            return False
        if len(public) != len(meta["public_signals"]) or not all(0 <= value < SCALAR_FIELD for value in public):
            return False
        request = {
            "task": "verify",
            "key": str(folder / meta["circuit"] / "vk.json"),
            "proof": snarkjs.from_words(proof),
            "public_inputs": [str(value) for value in public],
        }
        return snarkjs.ask(request, lambda _stage: None)["valid"] is True


ENGINES: dict[str, Engine] = {"groth16py": Groth16py(), "snarkjs": Snarkjs()}


def _text(value: int | list[Any]) -> str | list[Any]:
    return [_text(part) for part in value] if isinstance(value, list) else str(value % SCALAR_FIELD)
