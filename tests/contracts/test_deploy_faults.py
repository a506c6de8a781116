"""What verify finds: each fault beside the deployment without it."""

import json
from collections.abc import Callable, Iterator

import pytest
from eth_utils.crypto import keccak
from web3 import Web3

from scripts.deploy._plan import Plan, PlanRefused
from scripts.deploy._platform import verify
from scripts.deploy._rules import ISSUING, SETTLE_VOLUMES, SUBMIT_ORDER, selector_of
from scripts.deploy._wiring import ADMIN_ROLE, CANCELLER_ROLE, EXECUTOR_ROLE, PROPOSER_ROLE, log_id
from tests.contracts.platform_world import PEOPLE, ROOT, VAR_POLICY, Platform, deploy_here, node

STRANGER = PEOPLE["stranger"].address
TARGETS = ("IdentityRegistry", "CredentialRegistry", "TrustedIssuerRegistry")
ORDERS = selector_of(SUBMIT_ORDER)
Tampering = Callable[[Platform], object]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with node(42069) as url:
        platform = deploy_here(url, tmp_path_factory.mktemp("chain") / "deployments")
        assert "code and roles as planned" in found(platform)
        yield platform


@pytest.fixture
def platform(deployed: Platform) -> Iterator[Platform]:
    """Undo whatever a test did."""
    snapshot, files = deployed.ask("evm_snapshot"), {path: path.read_text() for path in deployed.folder.iterdir()}
    yield deployed
    deployed.ask("evm_revert", snapshot)
    for path in deployed.folder.iterdir():
        path.unlink()
    for path, text in files.items():
        path.write_text(text)


def found(platform: Platform) -> str:
    """Return what verify says."""
    return verify(Plan.from_json(platform.plan.read_text()), platform.web3, platform.folder)


def address(platform: Platform, name: str) -> str:
    """Return a contract's address."""
    return str(platform.contract(name).address)


def deployer(platform: Platform) -> str:
    """Return who deployed."""
    return str(platform.web3.eth.accounts[0])


def made(platform: Platform, name: str, *arguments: object) -> str:
    """Deploy a contract beside the platform; return its address."""
    artifact = json.loads((ROOT / ".refi" / "forge" / "out" / f"{name}.sol" / f"{name}.json").read_text())
    factory = platform.web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"]["object"])
    sent = factory.constructor(*arguments).transact({"from": platform.web3.eth.accounts[0]})
    return str(platform.web3.eth.wait_for_transaction_receipt(sent)["contractAddress"])


def reinstalled(platform: Platform, rule: str, *names: str) -> None:
    """Take a rule of orders out of its chain and put it at the end, over other parameters."""
    gate, policy = address(platform, "OrderGate"), address(platform, rule)
    platform.as_timelock("PolicyEngine", "removePolicy", gate, ORDERS, policy)
    parameters = [keccak(text=name) for name in names]
    platform.as_timelock("PolicyEngine", "addPolicy", gate, ORDERS, policy, parameters)


def emptied(platform: Platform, target: str, function: str, *policies: str) -> None:
    """Take policies out of a function's chain."""
    for policy in policies:
        arguments = address(platform, target), selector_of(function), address(platform, policy)
        platform.as_timelock("PolicyEngine", "removePolicy", *arguments)


def owned(name: str, function: str, *arguments: object) -> Tampering:
    """Return what calls a function as the timelock."""
    return lambda at: at.as_timelock(name, function, *arguments)


def passing(platform: Platform, name: str, role: bytes, account: str) -> None:
    """Give a role and take it away again."""
    for change in ("grantRole", "revokeRole"):
        platform.as_timelock(name, change, role, account)


def log_of(platform: Platform) -> bytes:
    """Return the plan's log."""
    log = Plan.from_json(platform.plan.read_text()).log
    assert log is not None
    return log_id(log, 42069, address(platform, "AuditAnchor"))


FAULTS: dict[str, dict[str, tuple[Tampering, str]]] = {
    "owners": {
        "the gate has another owner": (owned("OrderGate", "transferOwnership", STRANGER), "OrderGate.owner"),
        "a policy has another owner": (
            owned("SanctionsPolicy", "transferOwnership", STRANGER),
            "SanctionsPolicy.owner",
        ),
        "the deployer owns the anchor": (
            lambda at: at.as_timelock("AuditAnchor", "transferOwnership", deployer(at)),
            "AuditAnchor.owner",
        ),
        "nobody owns the staking": (owned("Staking", "renounceOwnership"), "Staking.owner"),
    },
    "roles": {
        "a stranger administers the engine": (
            owned("PolicyEngine", "grantRole", ADMIN_ROLE, STRANGER),
            f"PolicyEngine: {STRANGER.lower()} has a role that is not planned",
        ),
        "the deployer administers the engine": (
            lambda at: at.as_timelock("PolicyEngine", "grantRole", ADMIN_ROLE, deployer(at)),
            "(the deployer) has a role that is not planned",
        ),
        "a stranger proposes to the timelock": (
            owned("RefiTimelock", "grantRole", PROPOSER_ROLE, STRANGER),
            f"RefiTimelock: {STRANGER.lower()} has a role that is not planned",
        ),
        "the deployer once proposed to the timelock": (
            lambda at: passing(at, "RefiTimelock", PROPOSER_ROLE, deployer(at)),
            "RefiTimelock: the deployer once had a role that is not planned 0xb09aa5ae",
        ),
        "the governor proposes no more": (
            lambda at: at.as_timelock("RefiTimelock", "revokeRole", PROPOSER_ROLE, address(at, "RefiGovernor")),
            "lacks its role 0xb09aa5ae",
        ),
        "the guardian cancels no more": (
            owned("RefiTimelock", "revokeRole", CANCELLER_ROLE, PEOPLE["guardian"].address),
            f"RefiTimelock: {PEOPLE['guardian'].address.lower()} lacks its role",
        ),
        "nobody executes": (owned("RefiTimelock", "revokeRole", EXECUTOR_ROLE, "0x" + "00" * 20), "lacks its role"),
        "models have another guardian": (owned("ModelRegistry", "setGuardian", STRANGER), "ModelRegistry.guardian"),
        "a stranger proposes models": (owned("ModelRegistry", "setProposer", STRANGER, True), "ModelRegistry: 0x"),
        "a stranger publishes returns": (owned("ReturnsOracle", "setPublisher", STRANGER, True), "ReturnsOracle: 0x"),
        "a stranger sends orders": (
            owned("AuthorizedSenderPolicy", "authorizeSender", STRANGER),
            f"AuthorizedSenderPolicy: {STRANGER.lower()} has a role",
        ),
        "a stranger issues credentials": (
            owned("IssuerSenderPolicy", "authorizeSender", STRANGER),
            "IssuerSenderPolicy:",
        ),
        "the deployer anchors": (
            lambda at: at.as_timelock("AuditAnchor", "setAnchorer", log_of(at), deployer(at), True),
            "AuditAnchor: 0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266 (the deployer) has a role",
        ),
        "the attester attests no more": (
            lambda at: at.as_timelock("VarAttestor", "setAttester", log_of(at), PEOPLE["attester"].address, False),
            "VarAttestor.isAttester",
        ),
        "a stranger opens accounts": (owned("ProgressiveCapPolicy", "setRegistrar", STRANGER), ".registrar"),
        "a stranger reviews": (owned("ProgressiveCapPolicy", "setReviewer", STRANGER), ".reviewer"),
        "a stranger lists": (owned("SanctionsPolicy", "setLister", STRANGER), ".lister"),
        "limits have another steward": (owned("LimitSteward", "setSteward", STRANGER), "LimitSteward.steward"),
        "a limit obeys a stranger": (
            owned("SlidingVolumePolicy", "setSteward", STRANGER),
            "SlidingVolumePolicy.steward",
        ),
        "the deployer has votes": (
            lambda at: at.as_timelock("RefiToken", "transfer", deployer(at), 1),
            "RefiToken.balanceOf",
        ),
    },
    "a rule is missing": {
        "a rule is missing": (
            lambda at: emptied(at, "OrderGate", SUBMIT_ORDER, "SanctionsPolicy"),
            "PolicyEngine.getPolicies",
        ),
    },
    "rules stand in another order": {
        "rules stand in another order": (lambda at: reinstalled(at, "PausePolicy"), "PolicyEngine.getPolicies"),
    },
    "rules": {
        "a rule judges another parameter": (
            lambda at: reinstalled(at, "ApprovedModelPolicy", "instrument"),
            "ApprovedModelPolicy judges other parameters of submitOrder",
        ),
        "a protected function has no rule": (
            lambda at: emptied(at, "IdentityRegistry", ISSUING["IdentityRegistry"][0], "IssuerSenderPolicy"),
            "found []",
        ),
        "settlements have no rule": (
            lambda at: emptied(at, "OrderGate", SETTLE_VOLUMES, "AuthorizedSenderPolicy", "SlidingVolumePolicy"),
            "found []",
        ),
        "orders are read by another extractor": (
            owned("PolicyEngine", "setExtractor", ORDERS, STRANGER),
            "PolicyEngine.getExtractor",
        ),
        "a mapper stands before a rule": (
            lambda at: at.as_timelock("PolicyEngine", "setPolicyMapper", address(at, "SanctionsPolicy"), STRANGER),
            "PolicyEngine.getPolicyMapper",
        ),
        "what no rule names is allowed": (
            owned("PolicyEngine", "setDefaultPolicyAllow", True),
            "PolicyEngine.defaultAllows",
        ),
        "what passes every rule is refused": (
            lambda at: at.as_timelock("PolicyEngine", "setTargetDefaultPolicyAllow", address(at, "OrderGate"), False),
            "PolicyEngine.targetDefault",
        ),
        "the gate asks another engine": (
            lambda at: at.as_timelock("OrderGate", "attachPolicyEngine", made(at, "PolicyEngine", deployer(at))),
            "OrderGate.getPolicyEngine",
        ),
        "credentials of another source count": (
            lambda at: at.as_timelock(
                "CredentialValidatorPolicy",
                "addCredentialSource",
                (keccak(text="common.kyc"), STRANGER, STRANGER, "0x" + "00" * 20),
            ),
            "CredentialValidatorPolicy.getCredentialSources",
        ),
        "organisations' credentials of another source count": (
            lambda at: at.as_timelock(
                "CredentialValidatorPolicy",
                "addCredentialSource",
                (keccak(text="common.kyb"), STRANGER, STRANGER, "0x" + "00" * 20),
            ),
            "CredentialValidatorPolicy.getCredentialSources",
        ),
    },
    "limits": {
        "a limit moved": (owned("SlidingVolumePolicy", "setLimit", 10**18), "SlidingVolumePolicy.getLimit"),
        "caps are others": (
            owned("ProgressiveCapPolicy", "setTiers", [(0, 10**12, False)]),
            "ProgressiveCapPolicy.getTiers",
        ),
        "the steward may move a limit further": (
            lambda at: at.as_timelock(
                "LimitSteward",
                "allow",
                address(at, "VolumePolicy"),
                selector_of("getMax()"),
                selector_of("setMax(uint256)"),
                9_000,
                60,
            ),
            "LimitSteward: expected",
        ),
        "trading is paused": (
            lambda at: at.send("guardian", at.contract("PausePolicy").functions.setPausedState(True)),
            "PausePolicy.paused",
        ),
    },
    "code": {
        "a contract has other code": (
            lambda at: at.ask("anvil_setCode", address(at, "VolumePolicy"), "0x00"),
            "VolumePolicy: the code at",
        ),
    },
}


@pytest.mark.parametrize("group", FAULTS)
def test_verify_finds_every_fault_of(platform: Platform, group: str) -> None:
    for tamper, _line in FAULTS[group].values():
        tamper(platform)
    with pytest.raises(PlanRefused) as caught:
        found(platform)
    assert [fault for fault, (_, line) in FAULTS[group].items() if line not in str(caught.value)] == []


def test_what_happens_in_the_course_of_business_is_no_fault(platform: Platform) -> None:
    platform.know()
    platform.submit(10**6)
    platform.send("issuer", platform.contract("SanctionsPolicy").functions.list(STRANGER, b"\1" * 32))
    assert "code and roles as planned" in found(platform)


def test_contracts_wired_to_others_are_found_out_though_their_code_is_right(platform: Platform) -> None:
    other = made(platform, "VarAttestor", deployer(platform), STRANGER, address(platform, "AuditAnchor"))
    code = platform.web3.eth.get_code(Web3.to_checksum_address(other)).to_0x_hex()
    platform.ask("anvil_setCode", address(platform, "VarAttestor"), code)
    with pytest.raises(PlanRefused) as caught:
        found(platform)
    assert "VarAttestor.ORACLE" in str(caught.value)
    assert "VarAttestor: recorded otherwise: runtime_sha256" in str(caught.value)
    assert "VarAttestor: the code" not in str(caught.value)


def test_records_that_say_something_else_are_found_out(platform: Platform) -> None:
    parts = ("address", "tx_hash", "constructor_args", "source_sha256", "compiler", "abi", "block_number")
    for part, name in zip(parts, ("OrderGate", "RefiToken", "Staking", "RefiTimelock", *TARGETS), strict=True):
        file = platform.folder / f"{name}.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {part: "0x00"}))
    (platform.folder / "LimitSteward.json").rename(platform.folder / "Stranger.json")
    with pytest.raises(PlanRefused) as caught:
        found(platform)
    for part, name in zip(parts, ("OrderGate", "RefiToken", "Staking", "RefiTimelock", *TARGETS), strict=True):
        assert f"{name}: recorded otherwise: {part};" in f"{caught.value};"
    for line in ("LimitSteward: planned, but not recorded", "Stranger: recorded, but not planned"):
        assert line in str(caught.value)


def test_verify_sends_nothing(platform: Platform) -> None:
    before = platform.web3.eth.block_number
    found(platform)
    assert platform.web3.eth.block_number == before


def test_an_order_chain_that_requires_var_has_its_policy_in_place_of_the_size_limit(platform: Platform) -> None:
    with node(42069) as url:
        folder = platform.folder.with_name("requiring")
        requirement = {"policy_id": VAR_POLICY, "max_age_seconds": 3 * 86_400}
        requiring = deploy_here(url, folder, var_requirement=requirement)
        assert "code and roles as planned" in found(requiring)
        assert not (folder / "VolumePolicy.json").exists()
        requiring.know()
        requiring.check(10**6)
        requiring.as_timelock("VarAttestationPolicy", "setMaxAge", 86_400)
        with pytest.raises(PlanRefused, match=r"VarAttestationPolicy\.getMaxAge"):
            found(requiring)
