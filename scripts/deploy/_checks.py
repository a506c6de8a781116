"""What must hold of a deployment: the code is forge's, and everyone has the role planned and no other."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from eth_utils.crypto import keccak

from ._contracts import Artifact
from ._plan import LOCAL_CHAIN_IDS, Plan
from ._policies import policy_struct
from ._wiring import (
    ENGINE_ROLES,
    ISSUER_FUNCTIONS,
    KYC,
    OWNED,
    SUBMIT_ORDER,
    TIMELOCK_DELAY_SECONDS,
    USD_SCALE,
    log_id,
)


def faults(contracts: Mapping[str, Any], records: Mapping[str, Any], plan: Plan, deployer: str) -> list[str]:
    """Return one line for everything that is not as planned."""
    return [*code_faults(contracts, records), *role_faults(contracts, plan, deployer)]


def code_faults(contracts: Mapping[str, Any], records: Mapping[str, Any]) -> Iterator[str]:
    """Yield the contracts whose code on the chain is not the artifact's."""
    for name, contract in contracts.items():
        if not Artifact.load(records[name]["contract"]).matches(bytes(contract.code)):
            yield f"{name}: the code at {contract.address} is not the artifact's"


def role_faults(contracts: Mapping[str, Any], plan: Plan, deployer: str) -> Iterator[str]:
    """Yield the answers of contracts that differ from the plan."""
    for name, function, arguments, expected in expectations(contracts, plan, deployer):
        answer = contracts[name].call_view_method(function, *arguments)
        if _comparable(answer) != _comparable(expected):
            yield f"{name}.{function}{arguments}: expected {expected}, found {answer}"


def expectations(contracts: Mapping[str, Any], plan: Plan, deployer: str) -> Iterator[tuple[str, str, list[Any], Any]]:
    """Yield (contract, function, arguments, expected answer)."""
    yield from _wires(contracts, plan)
    roles, timelock, governor = plan.roles, contracts["RefiTimelock"], contracts["RefiGovernor"]
    engine = contracts["PolicyEngine"]
    is_local = engine.provider.chain_id in LOCAL_CHAIN_IDS
    owner = deployer if is_local else str(timelock.address)
    for name in OWNED:
        yield name, "owner", [], owner
    yield "PausePolicy", "owner", [], roles["guardian"]
    yield "PausePolicy", "paused", [], False
    yield "ModelRegistry", "owner", [], timelock.address
    yield "ModelRegistry", "guardian", [], roles["guardian"]
    yield "ModelRegistry", "isProposer", [roles["operator"]], True
    yield "AuthorizedSenderPolicy", "senderAuthorized", [roles["relay"]], True
    yield "IssuerSenderPolicy", "senderAuthorized", [roles["issuer"]], True
    yield "ReturnsOracle", "isPublisher", [roles["publisher"]], True
    yield "ReturnsOracle", "isPublisher", [roles["countersigner"]], True
    yield "RefiTimelock", "hasRole", [timelock.PROPOSER_ROLE(), governor.address], True
    yield "RefiTimelock", "hasRole", [timelock.CANCELLER_ROLE(), roles["guardian"]], True
    yield "RefiTimelock", "hasRole", [timelock.DEFAULT_ADMIN_ROLE(), deployer], False
    yield "RefiTimelock", "hasRole", [timelock.PROPOSER_ROLE(), deployer], False
    yield "RefiGovernor", "proposalGuardian", [], roles["guardian"]
    if plan.log and is_local:
        identity = log_id(plan.log, engine.provider.chain_id, str(contracts["AuditAnchor"].address))
        yield "AuditAnchor", "isAnchorer", [identity, roles["anchorer"]], True
        yield "AuditAnchor", "isAnchorer", [identity, deployer], False
        yield "VarAttestor", "isAttester", [identity, roles["attester"]], True
    for policy in plan.var_policies:
        pinned = policy_struct(plan, policy, str(contracts[policy.verifier].address))
        yield "VarAttestor", "policyOf", [policy.policy_id], pinned
    for role in ENGINE_ROLES:
        yield "PolicyEngine", "hasRole", [getattr(engine, role)(), owner], True
        yield "PolicyEngine", "hasRole", [getattr(engine, role)(), deployer], is_local
    order_rules = ("Pause", "AuthorizedSender", "CredentialValidator", "Volume", "ApprovedModel")
    chain = [contracts[f"{rule}Policy"].address for rule in order_rules]
    yield "PolicyEngine", "getPolicies", [contracts["OrderGate"].address, SUBMIT_ORDER], chain
    for registry, functions in ISSUER_FUNCTIONS.items():
        for function in functions:
            arguments = [contracts[registry].address, keccak(text=function)[:4]]
            yield "PolicyEngine", "getPolicies", arguments, [contracts["IssuerSenderPolicy"].address]


def _wires(contracts: Mapping[str, Any], plan: Plan) -> Iterator[tuple[str, str, list[Any], Any]]:
    # Immutables and settings that the comparison of code does not see
    engine, gate = contracts["PolicyEngine"].address, contracts["OrderGate"].address
    for name in ("OrderGate", *ISSUER_FUNCTIONS):
        yield name, "getPolicyEngine", [], engine
    for policy in ("Pause", "AuthorizedSender", "CredentialValidator", "Volume", "ApprovedModel"):
        yield f"{policy}Policy", "policyEngine", [], engine
    yield "PolicyEngine", "getExtractor", [SUBMIT_ORDER], contracts["OrderExtractor"].address
    yield "PolicyEngine", "defaultAllows", [], False
    yield "PolicyEngine", "isAttached", [gate], True
    yield "ApprovedModelPolicy", "modelRegistry", [], contracts["ModelRegistry"].address
    yield "VolumePolicy", "getMax", [], int(plan.max_notional_usd * USD_SCALE)
    yield "CredentialValidatorPolicy", "getCredentialRequirementIds", [], [KYC]
    yield "RefiGovernor", "timelock", [], contracts["RefiTimelock"].address
    yield "RefiGovernor", "token", [], contracts["RefiToken"].address
    yield "RefiTimelock", "getMinDelay", [], TIMELOCK_DELAY_SECONDS
    yield "VarAttestor", "ORACLE", [], contracts["ReturnsOracle"].address
    yield "VarAttestor", "ANCHOR", [], contracts["AuditAnchor"].address
    for verifier in plan.verifiers:
        yield verifier.name, "verifyingKey", [], verifier.key


def _comparable(value: Any) -> Any:
    if is_dataclass(value):  # a struct, as Ape answers it
        return _comparable([getattr(value, field.name) for field in fields(value)])
    if isinstance(value, list | tuple):
        return [_comparable(inner) for inner in value]
    return value.lower() if isinstance(value, str) else value
