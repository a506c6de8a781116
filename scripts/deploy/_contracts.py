"""forge's artifacts on a chain: deploy, call, write down."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ape.contracts import ContractContainer
from ethpm_types import ContractType

from ._plan import PlanRefused

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / ".refi" / "forge" / "out"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What forge made of one contract."""

    name: str
    abi: list[Any]
    creation: str
    runtime: str
    immutables: tuple[tuple[int, int], ...]

    @classmethod
    def load(cls, name: str) -> "Artifact":
        """Read the artifact of a contract that lies in a file of the same name."""
        path = ARTIFACTS / f"{name}.sol" / f"{name}.json"
        if not path.exists():
            raise PlanRefused(f"{name} is not built: run `forge build`")
        made = json.loads(path.read_text("utf-8"))
        references = made["deployedBytecode"].get("immutableReferences") or {}
        return cls(
            name=name,
            abi=made["abi"],
            creation=made["bytecode"]["object"],
            runtime=made["deployedBytecode"]["object"],
            immutables=tuple((place["start"], place["length"]) for places in references.values() for place in places),
        )

    def matches(self, code: bytes) -> bool:
        """Tell whether code on a chain is this contract's, whatever its immutables hold."""
        blank = bytearray(code)
        for start, length in self.immutables:
            blank[start : start + length] = bytes(length)
        return bytes(blank) == bytes.fromhex(self.runtime.removeprefix("0x"))


@dataclass(slots=True)
class Deployment:
    """The contracts deployed so far, by the name they are known under."""

    deployer: Any
    chain_id: int
    contracts: dict[str, Any] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def deploy(self, contract: str, *arguments: Any, name: str = "") -> Any:
        """Deploy a contract under its own name or another one."""
        artifact = Artifact.load(contract)
        container = ContractContainer(
            ContractType(
                contractName=contract,
                abi=artifact.abi,
                deploymentBytecode={"bytecode": artifact.creation},
                runtimeBytecode={"bytecode": artifact.runtime},
            )
        )
        deployed = self.deployer.deploy(container, *arguments)
        receipt = deployed.creation_metadata.receipt
        self.contracts[name or contract] = deployed
        self.records[name or contract] = {
            "address": str(deployed.address).lower(),
            "contract": contract,
            "abi": artifact.abi,
            "chain_id": self.chain_id,
            "block_number": receipt.block_number,
            "tx_hash": receipt.txn_hash,
            "bytecode_sha256": hashlib.sha256(bytes.fromhex(artifact.creation.removeprefix("0x"))).hexdigest(),
            "constructor_args": plain(arguments),
        }
        return deployed

    def send(self, name: str, function: str, *arguments: Any) -> Any:
        """Call a contract's function in a transaction of the deployer."""
        # By name: an attribute of Ape's own (`delegate`) may hide the contract's.
        return self.contracts[name].invoke_transaction(function, *arguments, sender=self.deployer)

    def address(self, name: str) -> str:
        """Return a deployed contract's address."""
        return str(self.contracts[name].address)

    def write(self, out: Path) -> None:
        """Write one file a contract; the folder is replaced as a whole, so that a reader never meets half of it."""
        fresh, old = out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, record in self.records.items():
            (fresh / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        if out.exists():
            out.rename(old)
        fresh.rename(out)
        shutil.rmtree(old, ignore_errors=True)


def plain(value: Any) -> Any:
    """Return constructor arguments as JSON holds them: bytes as 0x-hex, integers beyond 2^53 as strings."""
    match value:
        case bytes():
            return "0x" + value.hex()
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case bool() | str():
            return value
        case int():
            return value if abs(value) < 2**53 else str(value)
    return str(value)
