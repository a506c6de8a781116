"""What a deployment off a local chain leaves to the DAO: logs, attesters, universes and VaR policies."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from backend.anchoring.engine import log_id
from backend.cli.local import ROOT
from backend.governance.types import CallSpec
from backend.kernel.errors import Invalid
from backend.kernel.keccak import keccak256
from backend.ports.chain import Chain
from backend.proofs.engine.returns import universe_id

ANCHOR, ATTESTOR, ORACLE = "AuditAnchor", "VarAttestor", "ReturnsOracle"
TEXT = "Register the platform's log, its attester, its universe of instruments and its VaR policies"


async def registrations(plan: Mapping[str, Any], chain: Chain) -> Sequence[CallSpec]:
    """Return the calls that register what a plan names and the chain does not know yet."""
    log, roles, universe = plan["log"], plan["roles"], plan["universe"]
    public_key = bytes.fromhex(log["public_key"])
    identity = log_id(log["origin"], public_key, await chain.chain_id(), chain.address(ANCHOR))
    calls: list[CallSpec] = []
    if not await chain.events(ANCHOR, "LogRegistered", filters={"logId": identity}):
        calls.append(_call(ANCHOR, "registerLog", log["origin"], _hex(public_key), [roles["anchorer"]]))
    if not await chain.call(ATTESTOR, "isAttester", identity, roles["attester"]):
        calls.append(_call(ATTESTOR, "setAttester", _hex(identity), roles["attester"], "true"))
    number = universe_id(universe["instruments"])
    if not any(await chain.call(ORACLE, "universeOf", number)):
        words = [_hex(ticker.encode("ascii").ljust(32, b"\0")) for ticker in universe["instruments"]]
        calls.append(_call(ORACLE, "registerUniverse", _hex(number), words, str(universe["window"])))
    for policy in plan["var_policies"]:
        if not int((await chain.call(ATTESTOR, "policyOf", bytes.fromhex(policy["policy_id"])))[1], 16):
            struct = policy_struct(plan, policy, number, chain.address(policy["verifier"]))
            calls.append(_call(ATTESTOR, "definePolicy", "0x" + policy["policy_id"], struct))
    if not calls:
        raise Invalid("the chain knows the log, its attester, the universe and the VaR policies of these settings")
    return calls


def policy_struct(plan: Mapping[str, Any], policy: Mapping[str, str], universe: bytes, verifier: str) -> list[str]:
    """Return a VaR policy as VarAttestor takes it, as texts; its shape is the circuit's."""
    given = plan["verifiers"][policy["verifier"]]
    shape = json.loads((ROOT / "circuits" / "circuits.json").read_text("utf-8"))[given["circuit"]]
    counts = [shape[name] for name in ("instruments", "window", "k")] + shape["tail"]
    bits = [shape[name] for name in ("quantity_bits", "limit_bits", "pnl_bits")]
    return [
        _hex(universe),
        verifier,
        *map(str, (*counts, *bits)),
        policy["limit"],
        policy["es_limit"],
        "0x" + policy["circuit_hash"],
        _hex(keccak256(bytes.fromhex(given["key"]))),
    ]


def _call(target: str, function: str, *arguments: Any) -> CallSpec:
    return CallSpec(target, function, arguments)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
