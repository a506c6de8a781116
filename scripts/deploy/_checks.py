"""What must hold of a deployment: the code is forge's, and everyone has the role planned and no other."""

from collections.abc import Iterator
from typing import Any

from web3.exceptions import Web3Exception

from ._artifacts import Artifact
from ._members import member_faults
from ._plan import LOCAL_CHAIN_IDS, Plan
from ._policies import policy_struct
from ._rules import PROTECTED, SETTLE_VOLUMES, SUBMIT_ORDER, chains, limits, selector_of
from ._steps import Deployment
from ._wiring import (
    DAY_SECONDS,
    IDENTIFIED,
    KYC,
    PROPOSAL_THRESHOLD,
    TIMELOCK_DELAY_SECONDS,
    USD_SCALE,
    ZERO_ADDRESS,
    caps,
    log_id,
    staking_tiers,
)

ALLOWS = 1  # PolicyEngine.Default
VOTING_DELAY_SECONDS, VOTING_PERIOD_SECONDS = 3_600, 3 * DAY_SECONDS  # RefiGovernor.INITIAL_*
Expectation = tuple[str, str, list[Any], Any]


def faults(at: Deployment, plan: Plan) -> list[str]:
    """Return one line for everything that is not as planned."""
    return [*code_faults(at), *answer_faults(at, plan), *member_faults(at, plan)]


def code_faults(at: Deployment) -> Iterator[str]:
    """Yield the contracts whose code on the chain is not the artifact's."""
    for name, record in at.records.items():
        if not Artifact.load(record["contract"]).matches(at.code(name)):
            yield f"{name}: the code at {record['address']} is not the artifact's"


def answer_faults(at: Deployment, plan: Plan) -> Iterator[str]:
    """Yield the answers of contracts that differ from the plan."""
    for name, function, arguments, expected in expectations(at, plan):
        try:
            answer = at.contracts[name].get_function_by_name(function)(*arguments).call()
        except (Web3Exception, OverflowError) as error:
            yield f"{name}.{function}{_comparable(arguments)} does not answer: {type(error).__name__}"
            continue
        if _comparable(answer) != _comparable(expected):
            yield f"{name}.{function}{_comparable(arguments)}: expected {_shown(expected)}, found {_shown(answer)}"


def expectations(at: Deployment, plan: Plan) -> Iterator[Expectation]:
    """Yield (contract, function, arguments, expected answer)."""
    yield from _owners(at, plan)
    yield from _offices(at, plan)
    yield from _chains(at, plan)
    yield from _wires(at, plan)
    yield from _limits(at, plan)
    for policy in plan.var_policies:
        yield "VarAttestor", "policyOf", [policy.policy_id], policy_struct(plan, policy, at.address(policy.verifier))


def _owners(at: Deployment, plan: Plan) -> Iterator[Expectation]:
    # Every contract that has an owner, those of tomorrow too
    for name, contract in at.contracts.items():
        if any(entry.get("name") == "owner" for entry in contract.abi):
            yield name, "owner", [], plan.roles["guardian"] if name == "PausePolicy" else at.address("RefiTimelock")
    yield "RefiToken", "balanceOf", [at.deployer], 0
    yield "RefiToken", "getVotes", [at.deployer], 0


def _offices(at: Deployment, plan: Plan) -> Iterator[Expectation]:
    roles = plan.roles
    yield "PausePolicy", "paused", [], False
    yield "ModelRegistry", "guardian", [], roles["guardian"]
    yield "RefiGovernor", "proposalGuardian", [], roles["guardian"]
    yield "SanctionsPolicy", "lister", [], roles["lister"]
    yield "ProgressiveCapPolicy", "registrar", [], roles["registrar"]
    yield "ProgressiveCapPolicy", "reviewer", [], roles["reviewer"]
    yield "LimitSteward", "steward", [], roles["steward"]
    if "VarAttestationPolicy" in at.contracts:
        yield "VarAttestationPolicy", "steward", [], ZERO_ADDRESS
    if plan.log and at.chain_id in LOCAL_CHAIN_IDS:
        identity = log_id(plan.log, at.chain_id, at.address("AuditAnchor"))
        yield "AuditAnchor", "isAnchorer", [identity, at.web3.to_checksum_address(roles["anchorer"])], True
        yield "VarAttestor", "isAttester", [identity, at.web3.to_checksum_address(roles["attester"])], True


def _chains(at: Deployment, plan: Plan) -> Iterator[Expectation]:
    yield "PolicyEngine", "defaultAllows", [], False
    for target in PROTECTED:
        address = at.address(target)
        yield target, "getPolicyEngine", [], at.address("PolicyEngine")
        yield "PolicyEngine", "isAttached", [address], True
        yield "PolicyEngine", "targetDefault", [address], ALLOWS
    for (target, function), chain in chains(plan).items():
        extractor = at.address("OrderExtractor") if function in {SUBMIT_ORDER, SETTLE_VOLUMES} else ZERO_ADDRESS
        yield "PolicyEngine", "getExtractor", [selector_of(function)], extractor
        expected = [at.address(rule.policy) for rule in chain]
        yield "PolicyEngine", "getPolicies", [at.address(target), selector_of(function)], expected
    for policy in sorted({rule.policy for chain in chains(plan).values() for rule in chain}):
        yield policy, "policyEngine", [], at.address("PolicyEngine")
        yield "PolicyEngine", "getPolicyMapper", [at.address(policy)], ZERO_ADDRESS


def _wires(at: Deployment, plan: Plan) -> Iterator[Expectation]:
    # Immutables and settings that the comparison of code does not see
    yield "ApprovedModelPolicy", "modelRegistry", [], at.address("ModelRegistry")
    yield "CredentialValidatorPolicy", "getCredentialRequirementIds", [], [KYC]
    yield "CredentialValidatorPolicy", "getCredentialRequirement", [KYC], IDENTIFIED[1:]
    registries = (at.address("IdentityRegistry"), at.address("CredentialRegistry"), ZERO_ADDRESS)
    for kind in IDENTIFIED[1]:
        yield "CredentialValidatorPolicy", "getCredentialSources", [kind], [registries]
    yield "RefiGovernor", "timelock", [], at.address("RefiTimelock")
    yield "RefiGovernor", "token", [], at.address("RefiToken")
    yield "RefiGovernor", "votingDelay", [], VOTING_DELAY_SECONDS
    yield "RefiGovernor", "votingPeriod", [], VOTING_PERIOD_SECONDS
    yield "RefiGovernor", "proposalThreshold", [], PROPOSAL_THRESHOLD
    yield "RefiTimelock", "getMinDelay", [], TIMELOCK_DELAY_SECONDS
    yield "Staking", "token", [], at.address("RefiToken")
    yield "VarAttestor", "ORACLE", [], at.address("ReturnsOracle")
    yield "VarAttestor", "ANCHOR", [], at.address("AuditAnchor")
    for verifier in plan.verifiers:
        yield verifier.name, "verifyingKey", [], verifier.key
    if plan.var_requirement:
        yield "VarAttestationPolicy", "attestor", [], at.address("VarAttestor")
        yield "VarAttestationPolicy", "policyId", [], plan.var_requirement.policy_id
        yield "VarAttestationPolicy", "volumes", [], at.address("SlidingVolumePolicy")


def _limits(at: Deployment, plan: Plan) -> Iterator[Expectation]:
    yield "SlidingVolumePolicy", "getLimit", [], int(plan.max_daily_volume_usd * USD_SCALE)
    yield "SlidingVolumePolicy", "getWindow", [], DAY_SECONDS
    yield "ProgressiveCapPolicy", "getTiers", [], caps()
    yield "Staking", "getTiers", [], staking_tiers()
    if plan.var_requirement:
        yield "VarAttestationPolicy", "getMaxAge", [], plan.var_requirement.max_age_seconds
    else:
        yield "VolumePolicy", "getMin", [], 1
        yield "VolumePolicy", "getMax", [], int(plan.max_notional_usd * USD_SCALE)
    for policy, _getter, _setter in limits(plan):
        yield policy, "steward", [], at.address("LimitSteward")


def _comparable(value: Any) -> Any:
    match value:
        case list() | tuple():
            return [_comparable(inner) for inner in value]
        case bytes():
            return "0x" + value.hex()
        case str():
            return value.lower()
    return value


def _shown(value: Any) -> str:
    text = str(_comparable(value))
    return text if len(text) <= 1_000 else f"{text[:64]}... ({len(text)} characters)"
