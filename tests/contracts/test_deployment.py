"""The platform as Ape deploys it on a real node: from KYC to orders, refusals, votes and anchors."""

import json
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractCustomError
from web3.logs import DISCARD
from web3.types import RPCEndpoint

from backend.kernel.merkle import consistency_proof, leaf_hash, root
from scripts.deploy._plan import ANVIL_ACCOUNTS, Plan
from scripts.deploy._platform import verify
from tests.contracts.platform_world import (
    CCID,
    KYC,
    LOG_KEY,
    MODEL,
    ORIGIN,
    PEOPLE,
    Platform,
    ape,
    full_plan,
    node,
    plan_for,
    refusal,
)

NONE = (0, bytes(32), bytes(32))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("chain") / "deployments"
    plan = folder.with_name("plan.json")
    plan.write_text(json.dumps(full_plan(folder)))
    with node(42069) as url:
        done = ape("deploy", url, plan)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Platform(Web3(HTTPProvider(url)), folder, plan, url)


@pytest.fixture
def platform(deployed: Platform) -> Iterator[Platform]:
    """Undo whatever a test did."""
    snapshot = deployed.ask("evm_snapshot")
    yield deployed
    deployed.ask("evm_revert", snapshot)


def test_a_deployment_names_every_contract_and_how_it_was_made(deployed: Platform) -> None:
    records = {path.stem: json.loads(path.read_text()) for path in deployed.folder.glob("*.json")}
    assert set(records) == {
        *("PolicyEngine", "OrderGate", "OrderExtractor", "IdentityRegistry", "CredentialRegistry"),
        *("TrustedIssuerRegistry", "CredentialValidatorPolicy", "VolumePolicy", "SlidingVolumePolicy"),
        *("ProgressiveCapPolicy", "SanctionsPolicy", "PausePolicy", "ApprovedModelPolicy", "LimitSteward"),
        *("AuthorizedSenderPolicy", "IssuerSenderPolicy", "GovernanceSenderPolicy"),
        *("RefiToken", "RefiTimelock", "RefiGovernor", "ModelRegistry", "Staking"),
        *("ReturnsOracle", "AuditAnchor", "VarVerifier16x90Es", "VarAttestor"),
    }
    for record in records.values():
        assert record["chain_id"] == 42069
        receipt = deployed.web3.eth.get_transaction_receipt(record["tx_hash"])
        assert (receipt["contractAddress"] or "").lower() == record["address"]
        assert receipt["blockNumber"] == record["block_number"]
        code = deployed.web3.eth.get_code(Web3.to_checksum_address(record["address"]))
        assert record["runtime_sha256"] == sha256(code).hexdigest()
        assert record["compiler"]["version"].startswith("0.8.37")
        for name in ("bytecode_sha256", "abi_sha256", "source_sha256"):
            assert len(record[name]) == 64
    assert not list(deployed.folder.parent.glob(".*.journal.jsonl"))


def test_ape_reads_a_deployment_back_until_somebody_changes_it(platform: Platform) -> None:
    fine = ape("verify", platform.url, platform.plan, network=f"ethereum:custom:{platform.url}")
    assert "26 contracts on chain 42069: code and roles as planned" in fine.stdout

    platform.send("guardian", platform.contract("PausePolicy").functions.setPausedState(True))

    spoilt = ape("verify", platform.url, platform.plan)
    assert spoilt.returncode != 0
    assert "PausePolicy.paused[]: expected False, found True" in spoilt.stderr


def test_off_a_local_chain_ape_deploys_with_a_kept_key_and_refuses_public_ones(tmp_path: Path) -> None:
    out, plan = tmp_path / "deployments", tmp_path / "plan.json"
    deployer = PEOPLE["deployer"]
    keyfile = tmp_path / "ape" / "accounts" / "deployer.json"
    keyfile.parent.mkdir(parents=True)
    keyfile.write_text(json.dumps(Account.encrypt(deployer.key, "passphrase", kdf="pbkdf2", iterations=2)))
    settings = {"APE_DATA_FOLDER": str(tmp_path / "ape"), "APE_ACCOUNTS_deployer_PASSPHRASE": "passphrase"}
    with node(11_155_420) as url:
        network, web3 = f"ethereum:op-sepolia:{url}", Web3(HTTPProvider(url))
        plan.write_text(json.dumps(plan_for(out, deployer="deployer") | {"voters": [min(ANVIL_ACCOUNTS)]}))
        refused = ape("deploy", url, plan, network, **settings)
        assert refused.returncode != 0
        assert "whose keys are public are refused on chain 11155420" in refused.stderr
        assert web3.eth.block_number == 0

        plan.write_text(json.dumps(plan_for(out, deployer="deployer")))
        web3.provider.make_request(RPCEndpoint("anvil_setBalance"), [deployer.address, hex(10**20)])
        done = ape("deploy", url, plan, network, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        platform = Platform(web3, out, plan, url)
        timelock = platform.contract("RefiTimelock").address
        for name in ("OrderGate", "AuditAnchor", "ReturnsOracle", "VarAttestor", "VolumePolicy", "ModelRegistry"):
            assert platform.contract(name).functions.owner().call() == timelock
        assert "roles as planned" in verify(Plan.from_json(plan.read_text()), web3, out)


def test_orders_pass_after_kyc_and_are_refused_with_their_reasons(platform: Platform) -> None:
    assert refusal(partial(platform.check, 10**6)) == "account identity validation failed"
    now = platform.web3.eth.get_block("latest")["timestamp"]
    platform.know(expires_at=now + 86_400)

    platform.check(10**6)
    receipt = platform.submit(10**6)
    (event,) = platform.contract("OrderGate").events.OrderSubmitted().process_receipt(receipt, errors=DISCARD)
    assert event["args"]["account"] == PEOPLE["trader"].address

    for attempt in (platform.check, platform.submit):
        assert refusal(partial(attempt, 50_000 * 10**6 + 1)) == "amount outside allowed volume limits"
        assert refusal(partial(attempt, 10**6, MODEL)) == "model is not in production"
        assert refusal(partial(attempt, 10**6, sender="operator")) == "sender is not authorized"
    platform.advance(86_401)
    assert refusal(partial(platform.check, 10**6)) == "account identity validation failed"


def test_an_organisations_orders_pass_after_kyb_and_not_after_another_credential(platform: Platform) -> None:
    platform.know(kind=bytes(Web3.keccak(text="common.aml")))
    assert refusal(partial(platform.check, 10**6)) == "account identity validation failed"
    registry = platform.contract("CredentialRegistry").functions
    platform.send("issuer", registry.registerCredential(CCID, bytes(Web3.keccak(text="common.kyb")), 0, b"", b""))
    platform.check(10**6)
    platform.submit(10**6)


def test_the_guardian_stops_orders_and_lets_them_go_on(platform: Platform) -> None:
    platform.know()
    pause = platform.contract("PausePolicy").functions
    platform.send("guardian", pause.setPausedState(True))
    assert refusal(partial(platform.check, 10**6)) == "contract is paused"
    platform.send("guardian", pause.setPausedState(False))
    platform.check(10**6)


def test_only_the_issuer_writes_identities_and_credentials(platform: Platform) -> None:
    trader = PEOPLE["trader"].address
    identity = platform.contract("IdentityRegistry").functions.registerIdentity(CCID, trader, b"")
    credential = platform.contract("CredentialRegistry").functions.registerCredential(CCID, KYC, 0, b"", b"")
    for call in (identity, credential):
        assert refusal(partial(platform.send, "operator", call)) == "sender is not authorized"
        platform.send("issuer", call)


def test_a_vote_puts_a_model_into_production(platform: Platform) -> None:
    models, governor = platform.contract("ModelRegistry"), platform.contract("RefiGovernor").functions
    platform.know()
    platform.send("operator", models.functions.propose(MODEL, "cid", bytes(32), "cid"))
    calls = [models.functions[name](MODEL)._encode_transaction_data() for name in ("approve", "promote")]
    proposal = ([models.address] * 2, [0, 0], calls)
    why = "Promote a model"
    platform.advance(1)
    platform.send("voter", governor.propose(*proposal, why))
    identity = governor.getProposalId(*proposal, keccak(text=why)).call()
    platform.advance(3_601)
    platform.send("voter", governor.castVote(identity, 1))
    platform.advance(3 * 86_400)
    platform.send("operator", governor.queue(*proposal, keccak(text=why)))
    assert refusal(partial(platform.check, 10**6, MODEL)) == "model is not in production"
    platform.advance(86_400)
    platform.send("operator", governor.execute(*proposal, keccak(text=why)))
    platform.check(10**6, MODEL)
    platform.send("guardian", models.functions.revoke(MODEL))
    assert refusal(partial(platform.check, 10**6, MODEL)) == "model is not in production"


def test_a_growing_tree_is_anchored_and_a_forked_one_is_not(platform: Platform) -> None:
    anchor = platform.contract("AuditAnchor")
    encoded = encode(["string", "bytes32", "uint256", "address"], [ORIGIN, LOG_KEY, 42069, anchor.address])
    log_id = keccak(encoded)
    leaves = [leaf_hash(number.to_bytes(4, "big")) for number in range(5_000)]
    previous = NONE
    for size in (1, 2, 7, 64, 777, 4_321, 5_000):
        head = (size, root(leaves[:size]), sha256(size.to_bytes(8, "big")).digest())
        proof = consistency_proof(leaves[:size], previous[0]) if previous[0] else []
        receipt = platform.send("anchorer", anchor.functions.anchor(log_id, previous, head, proof))
        assert previous is NONE or receipt["gasUsed"] < 90_000
        previous = head
    count = anchor.functions.anchorCount(log_id).call()
    word = encode(["bytes32", "uint256", "uint64", "bytes32", "bytes32"], [log_id, count - 1, *previous])
    assert anchor.functions.anchorAt(log_id, count - 1).call() == keccak(word)

    forked = [*leaves[:4_000], *[leaf_hash(b"fork")] * 2_000]
    fork = (6_000, root(forked), bytes(32))
    with pytest.raises(ContractCustomError) as refused:
        platform.send("anchorer", anchor.functions.anchor(log_id, previous, fork, consistency_proof(forked, 5_000)))
    assert str(refused.value.data).startswith("0x" + keccak(text="Inconsistent(uint64,uint64)")[:4].hex())
    with pytest.raises(ContractCustomError) as refused:
        platform.send("operator", anchor.functions.anchor(log_id, previous, fork, []))
    assert str(refused.value.data).startswith("0x" + keccak(text="NotAnchorer(bytes32,address)")[:4].hex())
