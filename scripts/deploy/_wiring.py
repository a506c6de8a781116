"""The order in which the platform's contracts come to be, and who gets which role."""

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ._plan import LOCAL_CHAIN_IDS, Log, Plan, PlanRefused
from ._policies import policy_struct, universe_id
from ._rules import PROTECTED, SETTLE_VOLUMES, SUBMIT_ORDER, limits, rules, selector_of
from ._steps import Deployment

ZERO_ADDRESS = "0x" + "00" * 20
ONE_REFI = 10**18
SUPPLY = 100_000_000 * ONE_REFI
VOTER_SHARE = 5_000_000 * ONE_REFI
PROPOSAL_THRESHOLD = 100_000 * ONE_REFI
TIMELOCK_DELAY_SECONDS = 24 * 3600
DAY_SECONDS = 24 * 3600
USD_SCALE = 10**6
LOCAL_FUNDING = 100 * 10**18
KYC = bytes(keccak(text="common.kyc"))
KYB = bytes(keccak(text="common.kyb"))
# A person has the one, an organisation the other.
IDENTIFIED = (KYC, [KYC, KYB], 1, False)
MAX_CHANGE_BPS = 2_000
# USD x 1e6 from a day of the account's life on; the last one only after a recorded review
CAPS = ((0, 100, False), (3, 500, False), (7, 5_000, False), (14, 50_000, True))
# Locked REFI, and the share of the fees that is given back in 1/10,000
STAKING = ((10_000, 500), (100_000, 1_000), (1_000_000, 2_000))

DEFAULT_ADMIN_ROLE = bytes(32)
PROPOSER_ROLE, CANCELLER_ROLE, EXECUTOR_ROLE, ADMIN_ROLE, POLICY_CONFIG_ADMIN_ROLE = (
    bytes(keccak(text=f"{role}_ROLE")) for role in ("PROPOSER", "CANCELLER", "EXECUTOR", "ADMIN", "POLICY_CONFIG_ADMIN")
)
ENGINE_ROLES = (ADMIN_ROLE, POLICY_CONFIG_ADMIN_ROLE, DEFAULT_ADMIN_ROLE)
# What the deployer has to configure belongs to it until it is; all else is the timelock's from the start
CONFIGURED = ("AuditAnchor", "ReturnsOracle", "VarAttestor", "SlidingVolumePolicy", "VolumePolicy", "LimitSteward")


def deploy_everything(at: Deployment, plan: Plan) -> None:
    """Deploy, wire and hand over: the deployer keeps nothing on any chain."""
    deploy_governance(at, plan)
    deploy_compliance_core(at)
    deploy_evidence(at, plan)
    if at.chain_id in LOCAL_CHAIN_IDS:
        register_universe_and_log(at, plan)
    deploy_policies(at, plan)
    install_policies(at, plan)
    bound_limits(at, plan)
    distribute_votes(at, plan)
    hand_over(at)


def deploy_governance(at: Deployment, plan: Plan) -> None:
    """Deploy token, timelock, governor, models and staking; the deployer gives its role over the timelock up."""
    guardian = at_account(plan, "guardian")
    token = at.deploy("RefiToken", at.deployer, SUPPLY)
    timelock = at.deploy("RefiTimelock", TIMELOCK_DELAY_SECONDS, [], [ZERO_ADDRESS], at.deployer)
    governor = at.deploy("RefiGovernor", token, timelock, PROPOSAL_THRESHOLD, guardian)
    at.send("RefiTimelock", "grantRole", PROPOSER_ROLE, governor)
    for canceller in (governor, guardian):
        at.send("RefiTimelock", "grantRole", CANCELLER_ROLE, canceller)
    at.send("RefiTimelock", "renounceRole", DEFAULT_ADMIN_ROLE, at.deployer)
    at.deploy("ModelRegistry", timelock, guardian, [at_account(plan, "operator")])
    at.deploy("Staking", token, timelock, staking_tiers())


def deploy_compliance_core(at: Deployment) -> None:
    """Deploy the engine and what it protects."""
    engine = at.deploy("PolicyEngine", at.deployer)
    at.deploy("OrderExtractor")
    for protected in PROTECTED:
        at.deploy(protected, at.address("RefiTimelock"), engine)


def deploy_evidence(at: Deployment, plan: Plan) -> None:
    """Deploy the anchor, the oracle, the attestor and the verifiers of the plan."""
    anchor = at.deploy("AuditAnchor", at.deployer)
    oracle = at.deploy("ReturnsOracle", at.deployer)
    for role in ("publisher", "countersigner"):
        at.send("ReturnsOracle", "setPublisher", at_account(plan, role), True)
    at.deploy("VarAttestor", at.deployer, oracle, anchor)
    for verifier in plan.verifiers:
        at.deploy("Groth16Verifier", verifier.key, name=verifier.name)


def register_universe_and_log(at: Deployment, plan: Plan) -> None:
    """Register what the plan names of log, universe and VaR policies."""
    if plan.log:
        anchorers = [at_account(plan, "anchorer")]
        at.send("AuditAnchor", "registerLog", plan.log.origin, plan.log.public_key, anchorers)
        identity = log_id(plan.log, at.chain_id, at.address("AuditAnchor"))
        at.send("VarAttestor", "setAttester", identity, at_account(plan, "attester"), True)
    if plan.universe:
        at.send("ReturnsOracle", "registerUniverse", universe_id(plan), plan.universe.words, plan.universe.window)
    for policy in plan.var_policies:
        at.send(
            "VarAttestor", "definePolicy", policy.policy_id, policy_struct(plan, policy, at.address(policy.verifier))
        )


def deploy_policies(at: Deployment, plan: Plan) -> None:
    """Deploy the rules of orders and of issuing."""
    engine, timelock = at.address("PolicyEngine"), at.address("RefiTimelock")
    registrar, reviewer, lister = (at_account(plan, office) for office in ("registrar", "reviewer", "lister"))
    registries = (at.address("IdentityRegistry"), at.address("CredentialRegistry"), ZERO_ADDRESS)
    sources = [(kind, *registries) for kind in (KYC, KYB)]
    at.deploy("PausePolicy", engine, at_account(plan, "guardian"), False)
    at.deploy("AuthorizedSenderPolicy", engine, timelock, [at_account(plan, "relay")])
    at.deploy("AuthorizedSenderPolicy", engine, timelock, [at_account(plan, "issuer")], name="IssuerSenderPolicy")
    at.deploy("AuthorizedSenderPolicy", engine, timelock, [timelock], name="GovernanceSenderPolicy")
    at.deploy("SanctionsPolicy", engine, timelock, lister)
    at.deploy("CredentialValidatorPolicy", engine, timelock, sources, [IDENTIFIED])
    at.deploy("SlidingVolumePolicy", engine, at.deployer, int(plan.max_daily_volume_usd * USD_SCALE), DAY_SECONDS)
    at.deploy("ProgressiveCapPolicy", engine, timelock, registrar, reviewer, caps())
    at.deploy("ApprovedModelPolicy", engine, timelock, at.address("ModelRegistry"))
    if not plan.var_requirement:
        at.deploy("VolumePolicy", engine, at.deployer, 1, int(plan.max_notional_usd * USD_SCALE))
        return
    required, volumes = plan.var_requirement, at.address("SlidingVolumePolicy")
    attested = (at.address("VarAttestor"), required.policy_id, volumes, required.max_age_seconds)
    at.deploy("VarAttestationPolicy", engine, timelock, *attested)


def install_policies(at: Deployment, plan: Plan) -> None:
    """Put the rules into the engine, then let what passes them all go on; everything else stays refused."""
    selectors = [selector_of(function) for function in (SUBMIT_ORDER, SETTLE_VOLUMES)]
    at.send("PolicyEngine", "setExtractors", selectors, at.address("OrderExtractor"))
    for rule in rules(plan):
        before = (at.address(rule.target), rule.selector, at.address(rule.policy), rule.names)
        at.send("PolicyEngine", "addPolicy", *before)
    for target in PROTECTED:
        at.send("PolicyEngine", "setTargetDefaultPolicyAllow", at.address(target), True)


def bound_limits(at: Deployment, plan: Plan) -> None:
    """Let the steward move limits by at most a fifth a day."""
    at.deploy("LimitSteward", at.deployer, at_account(plan, "steward"))
    for policy, getter, setter in limits(plan):
        at.send(policy, "setSteward", at.address("LimitSteward"))
        rule = (at.address(policy), selector_of(getter), selector_of(setter), MAX_CHANGE_BPS, DAY_SECONDS)
        at.send("LimitSteward", "allow", *rule)


def distribute_votes(at: Deployment, plan: Plan) -> None:
    """Give voters equal shares and the treasury the rest."""
    if len(plan.voters) * VOTER_SHARE > SUPPLY:
        raise PlanRefused(f"{len(plan.voters)} voters: the supply serves {SUPPLY // VOTER_SHARE}")
    for voter in plan.voters:
        at.send("RefiToken", "transfer", to_checksum_address(voter), VOTER_SHARE)
    at.send("RefiToken", "transfer", at.address("RefiTimelock"), SUPPLY - len(plan.voters) * VOTER_SHARE)


def hand_over(at: Deployment) -> None:
    """Give everything that the deployer owns to the timelock."""
    timelock = at.address("RefiTimelock")
    for name in CONFIGURED:
        if name in at.contracts:
            at.send(name, "transferOwnership", timelock)
    for role in ENGINE_ROLES:
        at.send("PolicyEngine", "grantRole", role, timelock)
    for role in ENGINE_ROLES:
        at.send("PolicyEngine", "renounceRole", role, at.deployer)


def provide_locally(at: Deployment, plan: Plan) -> None:
    """Give every account of the plan gas money and let voters' shares count at once; local nodes only."""
    request = at.web3.provider.make_request
    for account in sorted({*plan.roles.values(), *plan.voters}):
        if at.web3.eth.get_balance(to_checksum_address(account)) < LOCAL_FUNDING:
            request("anvil_setBalance", [account, hex(LOCAL_FUNDING)])  # type: ignore[arg-type]
    delegates = at.contracts["RefiToken"].functions.delegates
    for voter in map(to_checksum_address, plan.voters):
        if delegates(voter).call() != voter:
            # The local node signs for accounts whose keys are elsewhere.
            request("anvil_impersonateAccount", [voter])  # type: ignore[arg-type]
            sent = at.contracts["RefiToken"].functions.delegate(voter).transact({"from": voter})
            at.web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.01)
            request("anvil_stopImpersonatingAccount", [voter])  # type: ignore[arg-type]


def at_account(plan: Plan, role: str) -> str:
    """Return who holds a role."""
    return to_checksum_address(plan.roles[role])


def caps() -> list[tuple[int, int, bool]]:
    """Return the progressive caps as the contract takes them."""
    return [(day, usd * USD_SCALE, reviewed) for day, usd, reviewed in CAPS]


def staking_tiers() -> list[tuple[int, int]]:
    """Return the staking tiers as the contract takes them."""
    return [(threshold * ONE_REFI, bps) for threshold, bps in STAKING]


def log_id(log: Log, chain_id: int, anchor: str) -> bytes:
    """Return keccak256(abi.encode(string origin, bytes32 public key, uint256 chain id, address AuditAnchor))."""
    values = (log.origin, log.public_key, chain_id, anchor)
    return bytes(keccak(encode(["string", "bytes32", "uint256", "address"], values)))
