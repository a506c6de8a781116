"""Who was ever let in and is still in: roles without a list on chain are read from the events that change them."""

from collections.abc import Iterator, Mapping
from typing import Any

from eth_utils.abi import event_abi_to_log_topic
from web3 import Web3
from web3.types import EventData, LogReceipt

from ._plan import LOCAL_CHAIN_IDS, Plan
from ._rules import chains, limits, selector_of
from ._steps import Deployment
from ._wiring import (
    CANCELLER_ROLE,
    DAY_SECONDS,
    DEFAULT_ADMIN_ROLE,
    ENGINE_ROLES,
    EXECUTOR_ROLE,
    MAX_CHANGE_BPS,
    PROPOSER_ROLE,
    ZERO_ADDRESS,
    log_id,
)

BLOCKS_PER_QUESTION = 10_000  # what public nodes answer at once
# Event -> the argument that names the member, the one that names its group, the one that says whether it is in
GRANTS = {
    "RoleGranted": ("account", "role", True),
    "RoleRevoked": ("account", "role", False),
    "SenderAuthorized": ("account", "", True),
    "SenderUnauthorized": ("account", "", False),
    "PublisherSet": ("publisher", "", "allowed"),
    "ProposerSet": ("account", "", "allowed"),
    "AnchorerSet": ("account", "logId", "allowed"),
    "AttesterSet": ("attester", "logId", "allowed"),
}
INSTALLS = ("PolicyAdded", "PolicyAddedAt")
LIMITS = ("Allowed", "Disallowed")
REGISTRATIONS = ("LogRegistered", "UniverseRegistered", "PolicyDefined")
REGISTERED_BY_VOTE = frozenset({"AnchorerSet", "AttesterSet"})
Member = tuple[str, str, str]


def member_faults(at: Deployment, plan: Plan) -> Iterator[str]:
    """Yield who has a role that the plan does not give, or lacks one; parameters and bounds that are others."""
    members: dict[Member, EventData] = {}
    ever: set[Member] = set()
    registered = dict.fromkeys(REGISTRATIONS, 0)
    names: dict[tuple[str, str, str], list[str]] = {}
    steps: dict[tuple[str, str], list[Any]] = {}
    for contract, event in _events(at):
        arguments, kind = event["args"], event["event"]
        if kind in GRANTS:
            account, group, holds = GRANTS[kind]
            member = (contract, _text(arguments[group]) if group else "", _text(arguments[account]))
            members.pop(member, None)
            if arguments[holds] if isinstance(holds, str) else holds:
                members[member] = event
                ever.add(member)
        elif kind in INSTALLS:
            installed = (_text(arguments["target"]), _text(arguments["selector"]), _text(arguments["policy"]))
            names[installed] = [_text(name) for name in arguments["policyParameterNames"]]
        elif kind in REGISTRATIONS:
            registered[kind] += event["blockNumber"] <= at.last_block
        elif kind in LIMITS:
            bounded = (_text(arguments["target"]), _text(arguments["setter"]))
            steps.pop(bounded, None)
            if kind == "Allowed":
                steps[bounded] = [_text(arguments["getter"]), arguments["maxChangeBps"], arguments["minDelay"]]
    yield from _strangers(at, plan, members)
    yield from _beside_the_plan(at, plan, ever, registered)
    yield from _parameters(at, plan, names)
    if steps != (planned := _steps(at, plan)):
        yield f"LimitSteward: expected {planned}, found {steps}"


def planned_members(at: Deployment, plan: Plan) -> set[Member]:
    """Return (contract, group, account) of everyone who has a role."""
    roles, timelock = plan.roles, _text(at.address("RefiTimelock"))
    governor = _text(at.address("RefiGovernor"))
    found = {("PolicyEngine", _text(role), timelock) for role in ENGINE_ROLES}
    for role, account in (
        (DEFAULT_ADMIN_ROLE, timelock),
        (PROPOSER_ROLE, governor),
        (CANCELLER_ROLE, governor),
        (CANCELLER_ROLE, roles["guardian"]),
        (EXECUTOR_ROLE, ZERO_ADDRESS),
    ):
        found.add(("RefiTimelock", _text(role), account))
    found |= {
        ("AuthorizedSenderPolicy", "", roles["relay"]),
        ("IssuerSenderPolicy", "", roles["issuer"]),
        ("GovernanceSenderPolicy", "", timelock),
        ("ModelRegistry", "", roles["operator"]),
        ("ReturnsOracle", "", roles["publisher"]),
        ("ReturnsOracle", "", roles["countersigner"]),
    }
    if plan.log and at.chain_id in LOCAL_CHAIN_IDS:
        identity = _text(log_id(plan.log, at.chain_id, at.address("AuditAnchor")))
        found |= {("AuditAnchor", identity, roles["anchorer"]), ("VarAttestor", identity, roles["attester"])}
    return found


def _strangers(at: Deployment, plan: Plan, members: Mapping[Member, EventData]) -> Iterator[str]:
    planned = planned_members(at, plan)
    for contract, group, account in sorted(members.keys() - planned):
        event = members[contract, group, account]
        # Off a local chain governance registers logs with their accounts, after the deployment
        by_vote = event["event"] in REGISTERED_BY_VOTE and event["blockNumber"] > at.last_block
        if account == at.deployer.lower() or at.chain_id in LOCAL_CHAIN_IDS or not by_vote:
            whose = " (the deployer)" if account == at.deployer.lower() else ""
            yield f"{contract}: {account}{whose} has a role that is not planned {group}".rstrip()
    for contract, group, account in sorted(planned - members.keys()):
        yield f"{contract}: {account} lacks its role {group}".rstrip()


def _beside_the_plan(at: Deployment, plan: Plan, ever: set[Member], registered: Mapping[str, int]) -> Iterator[str]:
    # What the deployer could have done between the plan's steps and left behind: an operation that waits in the
    # timelock, a log or a policy of its own
    held = {("PolicyEngine", _text(role), at.deployer.lower()) for role in ENGINE_ROLES}
    held.add(("RefiTimelock", _text(DEFAULT_ADMIN_ROLE), at.deployer.lower()))
    for contract, group, account in sorted(ever - held):
        if account == at.deployer.lower():
            yield f"{contract}: the deployer once had a role that is not planned {group}".rstrip()
    planned = dict.fromkeys(REGISTRATIONS, 0)
    if at.chain_id in LOCAL_CHAIN_IDS:
        planned = dict(zip(REGISTRATIONS, (bool(plan.log), bool(plan.universe), len(plan.var_policies)), strict=True))
    for kind, count in planned.items():
        if registered[kind] != count:
            yield f"{kind}: {registered[kind]} times before the hand-over, {int(count)} planned"


def _parameters(at: Deployment, plan: Plan, names: dict[tuple[str, str, str], list[str]]) -> Iterator[str]:
    for chain in chains(plan).values():
        for rule in chain:
            place = (_text(at.address(rule.target)), _text(rule.selector), _text(at.address(rule.policy)))
            if names.get(place, []) != [_text(name) for name in rule.names]:
                yield f"PolicyEngine: {rule.policy} judges other parameters of {rule.function} than {rule.parameters}"


def _steps(at: Deployment, plan: Plan) -> dict[tuple[str, str], list[Any]]:
    return {
        (_text(at.address(policy)), _text(selector_of(setter))): [
            _text(selector_of(getter)),
            MAX_CHANGE_BPS,
            DAY_SECONDS,
        ]
        for policy, getter, setter in limits(plan)
    }


def _events(at: Deployment) -> Iterator[tuple[str, EventData]]:
    wanted = {*GRANTS, *INSTALLS, *LIMITS, *REGISTRATIONS}
    by_place = {contract.address: (name, _decoders(contract, wanted)) for name, contract in at.contracts.items()}
    topics = {topic for _, decoders in by_place.values() for topic in decoders}
    for log in _logs(at, sorted(by_place), sorted(topics)):
        name, decoders = by_place[log["address"]]
        if decode := decoders.get(Web3.to_hex(log["topics"][0])):
            yield name, decode(log)


def _decoders(contract: Any, wanted: set[str]) -> dict[str, Any]:
    return {
        Web3.to_hex(event_abi_to_log_topic(entry)): contract.events[entry["name"]]().process_log
        for entry in contract.abi
        if entry["type"] == "event" and entry["name"] in wanted
    }


def _logs(at: Deployment, addresses: list[Any], topics: list[str]) -> Iterator[LogReceipt]:
    start, latest = min(record["block_number"] for record in at.records.values()), at.web3.eth.block_number
    while start <= latest:
        end = min(start + BLOCKS_PER_QUESTION - 1, latest)
        yield from at.web3.eth.get_logs({"address": addresses, "topics": [topics], "fromBlock": start, "toBlock": end})
        start = end + 1


def _text(value: Any) -> str:
    return "0x" + bytes(value).hex() if isinstance(value, bytes) else str(value).lower()
