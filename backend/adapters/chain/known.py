"""Contracts that no deployments folder lists: the OP stack's predeploys, and what others put on L1."""

from typing import Any

from backend.adapters.chain.abi import Deployed

EAS_ADDRESS = "0x4200000000000000000000000000000000000021"


def eas() -> Deployed:
    """Return the attestation service as every OP-stack chain has it."""
    return Deployed(
        "EAS",
        EAS_ADDRESS,
        (
            _function("timestamp", "nonpayable", ["bytes32"], ["uint64"]),
            _function("getTimestamp", "view", ["bytes32"], ["uint64"]),
            _event("Timestamped", [("data", "bytes32", True), ("timestamp", "uint64", True)]),
            {"type": "error", "name": "AlreadyTimestamped", "inputs": []},
        ),
        None,
    )


def l1_anchor_verifier(address: str) -> Deployed:
    """Return the contract on L1 that keeps the anchors proven there."""
    return Deployed(
        "L1AnchorVerifier",
        address.lower(),
        (
            _function("provenAt", "view", ["bytes32", "uint256"], ["bytes32"]),
            _event(
                "AnchorProven",
                [
                    ("logId", "bytes32", True),
                    ("index", "uint256", True),
                    ("word", "bytes32", False),
                    ("outputRoot", "bytes32", False),
                ],
            ),
        ),
        None,
    )


def _function(name: str, mutability: str, inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    return {
        "type": "function",
        "name": name,
        "stateMutability": mutability,
        "inputs": [{"name": "", "type": kind} for kind in inputs],
        "outputs": [{"name": "", "type": kind} for kind in outputs],
    }


def _event(name: str, inputs: list[tuple[str, str, bool]]) -> dict[str, Any]:
    parts = [{"name": part, "type": kind, "indexed": indexed} for part, kind, indexed in inputs]
    return {"type": "event", "name": name, "anonymous": False, "inputs": parts}
