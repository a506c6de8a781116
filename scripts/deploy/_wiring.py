"""The order in which the platform's contracts come to be, and who gets which role."""

from ape import accounts
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from ._contracts import Deployment
from ._plan import LOCAL_CHAIN_IDS, Log, Plan, PlanRefused
from ._policies import policy_struct, universe_id

ZERO_ADDRESS = "0x" + "00" * 20
ONE_REFI = 10**18
SUPPLY = 100_000_000 * ONE_REFI
VOTER_SHARE = 5_000_000 * ONE_REFI
PROPOSAL_THRESHOLD = 100_000 * ONE_REFI
TIMELOCK_DELAY_SECONDS = 24 * 3600
USD_SCALE = 10**6
LOCAL_FUNDING = "100 ether"
KYC = keccak(text="common.kyc")

SUBMIT_ORDER = keccak(text="submitOrder(address,bytes32,uint256,bytes32)")[:4]
ISSUER_FUNCTIONS = {
    "IdentityRegistry": (
        "registerIdentity(bytes32,address,bytes)",
        "registerIdentities(bytes32[],address[],bytes)",
        "removeIdentity(bytes32,address,bytes)",
    ),
    "CredentialRegistry": (
        "registerCredential(bytes32,bytes32,uint40,bytes,bytes)",
        "registerCredentials(bytes32,bytes32[],uint40,bytes[],bytes)",
        "removeCredential(bytes32,bytes32,bytes)",
        "renewCredential(bytes32,bytes32,uint40,bytes)",
    ),
}
OWNED = (
    "OrderGate",
    "IdentityRegistry",
    "CredentialRegistry",
    "AuthorizedSenderPolicy",
    "IssuerSenderPolicy",
    "CredentialValidatorPolicy",
    "VolumePolicy",
    "ApprovedModelPolicy",
    "AuditAnchor",
    "ReturnsOracle",
    "VarAttestor",
)
ENGINE_ROLES = ("ADMIN_ROLE", "POLICY_CONFIG_ADMIN_ROLE", "DEFAULT_ADMIN_ROLE")


def deploy_everything(at: Deployment, plan: Plan) -> None:
    """Deploy, wire and hand over; off a local chain the timelock owns everything in the end."""
    deploy_compliance_core(at)
    deploy_governance(at, plan)
    deploy_policies(at, plan)
    install_policies(at)
    deploy_evidence(at, plan)
    if at.chain_id in LOCAL_CHAIN_IDS:
        register_universe_and_log(at, plan)
        fund(at, plan)
    distribute_votes(at, plan)
    if at.chain_id not in LOCAL_CHAIN_IDS:
        hand_over(at)


def deploy_compliance_core(at: Deployment) -> None:
    """Deploy the engine and what it protects."""
    engine = at.deploy("PolicyEngine", at.deployer)
    at.deploy("OrderExtractor")
    for protected in ("OrderGate", "IdentityRegistry", "CredentialRegistry"):
        at.deploy(protected, at.deployer, engine)


def deploy_governance(at: Deployment, plan: Plan) -> None:
    """Deploy token, timelock, governor and model registry; the deployer gives its role over the timelock up."""
    guardian = plan.roles["guardian"]
    token = at.deploy("RefiToken", at.deployer, SUPPLY)
    timelock = at.deploy("RefiTimelock", TIMELOCK_DELAY_SECONDS, [], [ZERO_ADDRESS], at.deployer)
    governor = at.deploy("RefiGovernor", token, timelock, PROPOSAL_THRESHOLD, guardian)
    at.send("RefiTimelock", "grantRole", timelock.PROPOSER_ROLE(), governor)
    for canceller in (governor, guardian):
        at.send("RefiTimelock", "grantRole", timelock.CANCELLER_ROLE(), canceller)
    at.send("RefiTimelock", "renounceRole", timelock.DEFAULT_ADMIN_ROLE(), at.deployer)
    at.deploy("ModelRegistry", timelock, guardian, [plan.roles["operator"]])


def deploy_policies(at: Deployment, plan: Plan) -> None:
    """Deploy the rules of orders and of issuing."""
    engine, owner = at.contracts["PolicyEngine"], at.deployer
    source = (KYC, at.address("IdentityRegistry"), at.address("CredentialRegistry"), ZERO_ADDRESS)
    at.deploy("PausePolicy", engine, plan.roles["guardian"], False)
    at.deploy("AuthorizedSenderPolicy", engine, owner, [plan.roles["relay"]])
    at.deploy("AuthorizedSenderPolicy", engine, owner, [plan.roles["issuer"]], name="IssuerSenderPolicy")
    at.deploy("CredentialValidatorPolicy", engine, owner, [source], [(KYC, [KYC], 1, False)])
    at.deploy("VolumePolicy", engine, owner, 1, int(plan.max_notional_usd * USD_SCALE))
    at.deploy("ApprovedModelPolicy", engine, owner, at.contracts["ModelRegistry"])


def install_policies(at: Deployment) -> None:
    """Put the rules into the engine, then let what passes them all go on; everything else stays refused."""
    gate = at.address("OrderGate")
    at.send("PolicyEngine", "setExtractor", SUBMIT_ORDER, at.address("OrderExtractor"))
    for policy, parameters in (
        ("PausePolicy", ()),
        ("AuthorizedSenderPolicy", ()),
        ("CredentialValidatorPolicy", ("account",)),
        ("VolumePolicy", ("notional",)),
        ("ApprovedModelPolicy", ("modelHash",)),
    ):
        names = [keccak(text=parameter) for parameter in parameters]
        at.send("PolicyEngine", "addPolicy", gate, SUBMIT_ORDER, at.address(policy), names)
    at.send("PolicyEngine", "setTargetDefaultPolicyAllow", gate, True)
    for registry, functions in ISSUER_FUNCTIONS.items():
        target = at.address(registry)
        for function in functions:
            selector = keccak(text=function)[:4]
            at.send("PolicyEngine", "addPolicy", target, selector, at.address("IssuerSenderPolicy"), [])
        at.send("PolicyEngine", "setTargetDefaultPolicyAllow", target, True)


def deploy_evidence(at: Deployment, plan: Plan) -> None:
    """Deploy the anchor, the oracle, the attestor and the verifiers of the plan."""
    anchor = at.deploy("AuditAnchor", at.deployer)
    oracle = at.deploy("ReturnsOracle", at.deployer)
    for role in ("publisher", "countersigner"):
        at.send("ReturnsOracle", "setPublisher", plan.roles[role], True)
    at.deploy("VarAttestor", at.deployer, oracle, anchor)
    for verifier in plan.verifiers:
        at.deploy("Groth16Verifier", verifier.key, name=verifier.name)


def register_universe_and_log(at: Deployment, plan: Plan) -> None:
    """Register what the plan names of log, universe and VaR policies."""
    if plan.log:
        at.send("AuditAnchor", "registerLog", plan.log.origin, plan.log.public_key, [plan.roles["anchorer"]])
        identity = log_id(plan.log, at.chain_id, at.address("AuditAnchor"))
        at.send("VarAttestor", "setAttester", identity, plan.roles["attester"], True)
    if plan.universe:
        at.send("ReturnsOracle", "registerUniverse", universe_id(plan), plan.universe.words, plan.universe.window)
    for policy in plan.var_policies:
        at.send(
            "VarAttestor", "definePolicy", policy.policy_id, policy_struct(plan, policy, at.address(policy.verifier))
        )


def log_id(log: Log, chain_id: int, anchor: str) -> bytes:
    """Return keccak256(abi.encode(string origin, bytes32 public key, uint256 chain id, address AuditAnchor))."""
    values = (log.origin, log.public_key, chain_id, anchor)
    return bytes(keccak(encode(["string", "bytes32", "uint256", "address"], values)))


def fund(at: Deployment, plan: Plan) -> None:
    """Give every account of the plan gas money; local chains only."""
    for account in sorted({*plan.roles.values(), *plan.voters}):
        at.deployer.transfer(account, LOCAL_FUNDING)


def distribute_votes(at: Deployment, plan: Plan) -> None:
    """Give voters equal shares, which count at once on a local chain, and the treasury the rest."""
    if len(plan.voters) * VOTER_SHARE > SUPPLY:
        raise PlanRefused(f"{len(plan.voters)} voters: the supply serves {SUPPLY // VOTER_SHARE}")
    for voter in plan.voters:
        at.send("RefiToken", "transfer", voter, VOTER_SHARE)
        if at.chain_id in LOCAL_CHAIN_IDS:
            # The local node signs for accounts whose keys are elsewhere.
            at.contracts["RefiToken"].invoke_transaction("delegate", voter, sender=accounts[voter])
    at.send("RefiToken", "transfer", at.address("RefiTimelock"), SUPPLY - len(plan.voters) * VOTER_SHARE)


def hand_over(at: Deployment) -> None:
    """Give everything that the deployer owns to the timelock."""
    timelock, engine = at.contracts["RefiTimelock"], at.contracts["PolicyEngine"]
    for name in OWNED:
        at.send(name, "transferOwnership", timelock)
    for role in ENGINE_ROLES:
        at.send("PolicyEngine", "grantRole", getattr(engine, role)(), timelock)
    for role in ENGINE_ROLES:
        at.send("PolicyEngine", "renounceRole", getattr(engine, role)(), at.deployer)
