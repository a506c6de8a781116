"""Our interfaces speak Chainlink ACE's ABI, so that a protected contract can be pointed at either engine."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scripts.local_node import artifact
from tests.contracts.ace_artifacts import ace_artifacts

ROOT = Path(__file__).resolve().parents[2]
COMPILER = ROOT / "contracts" / "solc" / "solc-v0.8.37"
OURS = "contracts/interfaces"
ENGINE = "node_modules/@chainlink/ace/packages/policy-management/src/interfaces"
IDENTITY = "node_modules/@chainlink/ace/packages/cross-chain-identity/src/interfaces"
INTERFACES = {
    **dict.fromkeys(("IPolicyEngine", "IPolicy", "IExtractor", "IMapper", "IPolicyProtected"), ENGINE),
    **dict.fromkeys(("IIdentityRegistry", "ICredentialRegistry", "ICredentialValidator"), IDENTITY),
    **dict.fromkeys(("IIdentityValidator", "ICredentialRequirements"), IDENTITY),
    **dict.fromkeys(("ITrustedIssuerRegistry", "ICredentialDataValidator"), IDENTITY),
    "ICertifiedActionValidator": ENGINE,
}


def signature(part: dict[str, Any]) -> str:
    """Return a name with its canonical types, indexed ones marked."""

    def canonical(given: dict[str, Any]) -> str:
        if not given["type"].startswith("tuple"):
            return str(given["type"])
        return f"({','.join(map(canonical, given['components']))}){given['type'].removeprefix('tuple')}"

    inputs = (canonical(given) + (" indexed" if given.get("indexed") else "") for given in part["inputs"])
    outputs = map(canonical, part.get("outputs", ()))
    return f"{part['name']}({','.join(inputs)}) {part.get('stateMutability', '')} ({','.join(outputs)})"


@cache
def abis() -> dict[str, list[dict[str, Any]]]:
    """Compile both sides; return ABIs by path."""
    paths = [f"{folder}/{name}.sol" for name, theirs in INTERFACES.items() for folder in (OURS, theirs)]
    question = {
        "language": "Solidity",
        "sources": {path: {"content": (ROOT / path).read_text("utf-8")} for path in paths},
        "settings": {
            "remappings": ["@openzeppelin/contracts/=node_modules/@openzeppelin/contracts/"],
            "outputSelection": {"*": {"*": ["abi"]}},
        },
    }
    answer = subprocess.run(
        [str(COMPILER), "--standard-json", "--base-path", str(ROOT)],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    made = json.loads(answer.stdout)
    return {path: made["contracts"][path][Path(path).stem]["abi"] for path in paths}


def named(path: str, kind: str) -> dict[str, str]:
    """Return the signatures of one kind by their names."""
    return {part["name"]: signature(part) for part in abis()[path] if part["type"] == kind}


@pytest.mark.parametrize("name", INTERFACES)
def test_functions_are_the_same(name: str) -> None:
    assert named(f"{OURS}/{name}.sol", "function") == named(f"{INTERFACES[name]}/{name}.sol", "function")


@pytest.mark.parametrize("name", INTERFACES)
@pytest.mark.parametrize("kind", ["event", "error"])
def test_what_both_name_has_one_form(name: str, kind: str) -> None:
    ours, theirs = (named(f"{folder}/{name}.sol", kind) for folder in (OURS, INTERFACES[name]))
    assert {known: ours[known] for known in ours.keys() & theirs.keys()} == {
        known: theirs[known] for known in ours.keys() & theirs.keys()
    }
    assert kind == "error" or ours.keys() <= theirs.keys()


# What a policy has beyond IPolicy is in no interface: others configure it by these functions, and hear these events.
POLICIES = {
    "AllowPolicy": "AllowPolicy",
    "AuthorizedSenderPolicy": "OnlyAuthorizedSenderPolicy",
    "BypassPolicy": "BypassPolicy",
    "CertifiedActionPolicy": "CertifiedActionValidatorPolicy",
    "CredentialValidatorPolicy": "CredentialRegistryIdentityValidatorPolicy",
    "IntervalPolicy": "IntervalPolicy",
    "MaxPolicy": "MaxPolicy",
    "PausePolicy": "PausePolicy",
    "RejectPolicy": "RejectPolicy",
    "RolePolicy": "RoleBasedAccessControlPolicy",
    "VolumePolicy": "VolumePolicy",
    "IdentityRegistry": "IdentityRegistry",
    "CredentialRegistry": "CredentialRegistry",
    "TrustedIssuerRegistry": "TrustedIssuerRegistry",
    "PolicyEngine": "PolicyEngine",
}
# Ours have constructors, and ACE's engine never emits the last.
UNSHARED = {"initialize", "Initialized", "PolicyParametersSet"}


def shapes(abi: list[dict[str, Any]], kind: str) -> set[str]:
    """Return the names of one kind with their types; what a constant is made of does not matter."""
    return {
        signature(part).replace(" pure ", " view ")
        for part in abi
        if part["type"] == kind and part["name"] not in UNSHARED
    }


@pytest.mark.parametrize("ours", POLICIES)
def test_contracts_have_every_function_and_event_of_their_counterparts(ours: str) -> None:
    theirs = ace_artifacts()[POLICIES[ours]]["abi"]
    mine = artifact(ours)["abi"]
    for kind in ("function", "event"):
        assert shapes(theirs, kind) <= shapes(mine, kind)
