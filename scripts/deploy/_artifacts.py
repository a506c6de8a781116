"""What forge made of the contracts: bytecode, ABI and how they were compiled."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ._plan import PlanRefused

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / ".refi" / "forge" / "out"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What forge made of one contract; hashes are SHA-256, those of JSON over its canonical text."""

    name: str
    abi: list[Any]
    creation: bytes
    runtime: bytes
    immutables: tuple[tuple[int, int], ...]
    compiler: str
    settings_sha256: str
    source_sha256: str

    @classmethod
    @cache
    def load(cls, name: str) -> "Artifact":
        """Read the artifact of a contract in a file of the same name; once, so that a build beside changes nothing."""
        path = ARTIFACTS / f"{name}.sol" / f"{name}.json"
        if not path.exists():
            raise PlanRefused(f"{name} is not built: run `forge build`")
        made = json.loads(path.read_text("utf-8"))
        references = made["deployedBytecode"].get("immutableReferences") or {}
        how = made["metadata"]
        return cls(
            name=name,
            abi=made["abi"],
            creation=bytes.fromhex(made["bytecode"]["object"].removeprefix("0x")),
            runtime=bytes.fromhex(made["deployedBytecode"]["object"].removeprefix("0x")),
            immutables=tuple((place["start"], place["length"]) for places in references.values() for place in places),
            compiler=how["compiler"]["version"],
            settings_sha256=json_sha256(how["settings"]),
            # The contract's file and all that it imports, each by the hash that the compiler saw
            source_sha256=json_sha256({file: source["keccak256"] for file, source in how["sources"].items()}),
        )

    @property
    def creation_sha256(self) -> str:
        """The hash of the creation code, without constructor arguments."""
        return sha256(self.creation)

    def matches(self, code: bytes) -> bool:
        """Tell whether code on a chain is this contract's, whatever its immutables hold."""
        blank = bytearray(code)
        for start, length in self.immutables:
            blank[start : start + length] = bytes(length)
        return bytes(blank) == self.runtime

    def facts(self) -> dict[str, Any]:
        """Return what a record says of how the contract was made."""
        return {
            "contract": self.name,
            "abi": self.abi,
            "bytecode_sha256": self.creation_sha256,
            "abi_sha256": json_sha256(self.abi),
            "source_sha256": self.source_sha256,
            "compiler": {"version": self.compiler, "settings_sha256": self.settings_sha256},
        }


def sha256(data: bytes) -> str:
    """Return a hash in hex."""
    return hashlib.sha256(data).hexdigest()


def json_sha256(value: Any) -> str:
    """Return the hash of a JSON value's canonical text: sorted keys, no spaces."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
