"""Chainlink ACE 1.0.0 as npm ships it, compiled for tests only and kept by the hash of its source."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from backend.cli.local import ROOT

COMPILER = ROOT / "contracts" / "solc" / "solc-v0.8.37"
KEPT = ROOT / ".refi" / "ace"
ACE = "node_modules/@chainlink/ace/packages"
POLICIES, IDENTITY = f"{ACE}/policy-management/src", f"{ACE}/cross-chain-identity/src"
ZEPPELIN = tuple(f"node_modules/@openzeppelin/{name}" for name in ("contracts", "contracts-upgradeable"))
VALIDATOR = f"{IDENTITY}/CredentialRegistryIdentityValidatorPolicy.sol"
SOURCES = (
    f"{POLICIES}/core/PolicyEngine.sol",
    *(
        f"{POLICIES}/policies/{name}.sol"
        for name in (
            *("AllowPolicy", "BypassPolicy", "RejectPolicy", "MaxPolicy", "VolumePolicy", "PausePolicy"),
            *("OnlyAuthorizedSenderPolicy", "RoleBasedAccessControlPolicy", "IntervalPolicy"),
            "CertifiedActionValidatorPolicy",
        )
    ),
    *(f"{IDENTITY}/{name}.sol" for name in ("IdentityRegistry", "CredentialRegistry", "TrustedIssuerRegistry")),
    f"{ZEPPELIN[0]}/proxy/ERC1967/ERC1967Proxy.sol",
)
PATIENCE_SECONDS = 600


def ace_artifacts() -> Mapping[str, Mapping[str, Any]]:
    """Return ABI and bytecode by the contract's name; compile on the first run only (20 s of one core)."""
    # What the validator does has too many variables for the older code generator; for all else that one is faster.
    questions = [_question(SOURCES, via_ir=False), _question((VALIDATOR,), via_ir=True)]
    file = KEPT / f"{_digest(questions)}.json"
    if not file.exists():
        made = {name: part for answer in _compile(questions) for name, part in answer}
        KEPT.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(made), "utf-8")
        draft.rename(file)
    kept: Mapping[str, Mapping[str, Any]] = json.loads(file.read_text("utf-8"))
    return kept


def _question(paths: tuple[str, ...], via_ir: bool) -> str:
    return json.dumps(
        {
            "language": "Solidity",
            "sources": {path: {"content": (ROOT / path).read_text("utf-8")} for path in paths},
            "settings": {
                "remappings": [
                    *(f"{folder.removeprefix('node_modules/')}/={folder}/" for folder in ZEPPELIN),
                    f"@chainlink/policy-management/={POLICIES}/",
                    f"@chainlink/cross-chain-identity/={IDENTITY}/",
                ],
                "viaIR": via_ir,
                "evmVersion": "cancun",
                "optimizer": {"enabled": True, "runs": 1},
                "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
            },
        },
        sort_keys=True,
    )


def _digest(questions: list[str]) -> str:
    digest = sha256("".join(questions).encode())
    imported = sorted(path for folder in (POLICIES, IDENTITY) for path in (ROOT / folder).rglob("*.sol"))
    for path in (*imported, *(ROOT / folder / "package.json" for folder in ZEPPELIN)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _compile(questions: list[str]) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    command = [str(COMPILER), "--standard-json", "--base-path", str(ROOT)]
    for question in questions:
        done = subprocess.run(
            command, input=question, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
        )
        yield _contracts(json.loads(done.stdout))


def _contracts(answer: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    faults = [fault["formattedMessage"] for fault in answer.get("errors", ()) if fault["severity"] == "error"]
    if faults:
        raise ValueError("\n".join(faults))
    for path, made in answer["contracts"].items():
        name = Path(path).stem
        if name in made and made[name]["evm"]["bytecode"]["object"]:
            yield name, {"abi": made[name]["abi"], "bytecode": made[name]["evm"]["bytecode"]["object"]}
