"""The attestor on a local chain, with the real oracle, anchor and verifier."""

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from time import monotonic, sleep
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError
from web3.types import TxReceipt

from backend.kernel.field import SCALAR_FIELD
from backend.proofs.engine.claim import attestation_id, columns, context, evaluate, fold, public_inputs
from backend.proofs.engine.returns import pack_returns, returns_id, universe_id, unpack_returns
from backend.proofs.types import Binding, Claim, Matrix, Positions, Statement
from scripts.deploy._plan import G2_GENERATOR
from tests.circuits.example import EPOCH, ROOT, SHAPE, honest, matrix, positions, proving_key, var_units
from tests.circuits.example import TICKERS as NAMES

FORGE = ROOT / ".refi" / "forge" / "out"
POLICY_ID = keccak(b"policy")
BASE_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
PATIENCE_SECONDS = 20
MARKET = matrix()
HELD = positions()
LIMIT = var_units(HELD, MARKET)
INSTRUMENTS = [name.encode().ljust(32, b"\0") for name in NAMES]


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain with everything deployed, one policy, two days of market data, one anchor."""

    web3: Web3
    oracle: Contract
    attestor: Contract
    verifier: Contract
    owner: str
    attester: str
    stranger: str
    log_id: bytes

    def bind(self, **changes: Any) -> Binding:
        """Return what an attestation of the subject binds."""
        binding = Binding(
            chain_id=self.web3.eth.chain_id,
            attestor=bytes.fromhex(self.attestor.address[2:]),
            subject=bytes.fromhex("5b" * 20),
            epoch=EPOCH,
            policy_id=POLICY_ID,
            previous=bytes(32),
            log_id=self.log_id,
            anchor_index=0,
        )
        return replace(binding, **changes)

    def attest(
        self,
        binding: Binding,
        claim: Statement,
        proof: bytes,
        market: Matrix = MARKET,
        sender: str | None = None,
    ) -> TxReceipt:
        """Submit a claim and wait for its receipt."""
        submitted = (
            Web3.to_checksum_address(binding.subject),
            binding.epoch,
            binding.policy_id,
            binding.log_id,
            binding.anchor_index,
            claim.commitment,
            claim.r,
            claim.z,
            claim.e,
        )
        words = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, 256, 32)]
        call = self.attestor.functions.attest(submitted, list(market.prices), market.packed, words)
        return self.web3.eth.wait_for_transaction_receipt(call.transact({"from": sender or self.attester}))


def _artifact(name: str) -> Any:
    return json.loads((FORGE / f"{name}.sol" / f"{name}.json").read_text())


def _deploy(web3: Web3, name: str, *arguments: Any) -> Contract:
    artifact = _artifact(name)
    factory = web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"]["object"])
    receipt = web3.eth.wait_for_transaction_receipt(factory.constructor(*arguments).transact())
    address = receipt["contractAddress"]
    assert address is not None
    return web3.eth.contract(address=address, abi=artifact["abi"])


def _policy(verifier: Contract, **changes: Any) -> tuple[Any, ...]:
    fields = {
        "universeId": MARKET.universe_id,
        "instruments": 16,
        "window": 90,
        "k": 5,
        "limit": LIMIT,
        "esLimit": 0,
        "circuitHash": bytes(32),
        "verificationKeyHash": keccak(proving_key().packed),
        "verifier": verifier.address,
    }
    return tuple({**fields, **changes}.values())


def _error(name: str, *types: str) -> str:
    return "0x" + keccak(f"{name}({','.join(types)})".encode())[:4].hex()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(ROOT / "node_modules" / ".bin" / "anvil"), "--network", "optimism", "--chain-id", "42069"]
    with subprocess.Popen([*command, "--port", str(port), "--silent"]) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def chain(endpoint: str) -> Chain:
    web3 = Web3(HTTPProvider(endpoint))
    deadline = monotonic() + PATIENCE_SECONDS
    while not web3.is_connected():
        assert monotonic() < deadline
        sleep(0.05)
    accounts = list(web3.eth.accounts)
    owner, attester, stranger = accounts[0], accounts[1], accounts[2]
    web3.eth.default_account = owner
    oracle = _deploy(web3, "ReturnsOracle", owner)
    anchor = _deploy(web3, "AuditAnchor", owner)
    verifier = _deploy(web3, "Groth16Verifier", proving_key().packed)
    attestor = _deploy(web3, "VarAttestor", owner, oracle.address, anchor.address)
    log_id = keccak(encode(["string", "bytes32", "uint256", "address"], ["test", b"\1" * 32, 42069, anchor.address]))
    second = matrix(8, EPOCH + 1)
    for call in (
        oracle.functions.registerUniverse(MARKET.universe_id, INSTRUMENTS, 90),
        oracle.functions.setPublisher(owner, True),
        oracle.functions.publish(MARKET.universe_id, EPOCH, list(MARKET.prices), MARKET.packed),
        oracle.functions.publish(second.universe_id, EPOCH + 1, list(second.prices), second.packed),
        anchor.functions.registerLog("test", b"\1" * 32, [owner]),
        anchor.functions.anchor(log_id, (0, bytes(32), bytes(32)), (1, b"\2" * 32, b"\3" * 32), []),
        attestor.functions.definePolicy(POLICY_ID, _policy(verifier)),
        attestor.functions.setAttester(log_id, attester, True),
    ):
        web3.eth.wait_for_transaction_receipt(call.transact())
    return Chain(web3, oracle, attestor, verifier, owner, attester, stranger, log_id)


@pytest.fixture
def fresh(chain: Chain) -> Iterator[Chain]:
    """Undo whatever a test did."""
    snapshot = chain.web3.provider.make_request("evm_snapshot", [])["result"]  # type: ignore[arg-type]
    yield chain
    chain.web3.provider.make_request("evm_revert", [snapshot])  # type: ignore[arg-type]


@lru_cache
def _proved(binding: Binding, held: Positions, market: Matrix, limit: int) -> tuple[Claim, bytes]:
    claim = honest(binding, held, market, limit)
    return claim, proving_key().prove(claim)


def test_an_honest_claim_is_stored_and_chained(fresh: Chain) -> None:
    binding = fresh.bind()
    claim, proof = _proved(binding, HELD, MARKET, LIMIT)

    receipt = fresh.attest(binding, claim.statement, proof)

    expected = attestation_id(context(binding), claim.statement.commitment, returns_id(MARKET))
    (event,) = fresh.attestor.events.Attested().process_receipt(receipt)
    assert event["args"]["attestationId"] == expected
    assert event["args"]["previous"] == bytes(32)
    assert event["args"]["returnsId"] == returns_id(MARKET)
    subject = Web3.to_checksum_address(binding.subject)
    assert fresh.attestor.functions.latestOf(subject, POLICY_ID).call() == expected
    assert fresh.attestor.functions.attestationAt(subject, EPOCH, POLICY_ID).call() == expected
    assert receipt["gasUsed"] < 480_000
    print(f"attest: {receipt['gasUsed']} gas")  # noqa: T201


def test_the_next_epoch_continues_the_chain_and_only_the_chain(fresh: Chain) -> None:
    first = fresh.bind()
    claim, proof = _proved(first, HELD, MARKET, LIMIT)
    fresh.attest(first, claim.statement, proof)
    market = matrix(8, EPOCH + 1)
    small = Positions(HELD.salt, tuple(quantity // 2 for quantity in HELD.quantities))

    detached = fresh.bind(epoch=EPOCH + 1)
    claim, proof = _proved(detached, small, market, LIMIT)
    with pytest.raises(ContractCustomError, match=_error("ProofRejected")):
        fresh.attest(detached, claim.statement, proof, market)

    previous = fresh.attestor.functions.latestOf(Web3.to_checksum_address(first.subject), POLICY_ID).call()
    chained = fresh.bind(epoch=EPOCH + 1, previous=previous)
    claim, proof = _proved(chained, small, market, LIMIT)
    receipt = fresh.attest(chained, claim.statement, proof, market)

    (event,) = fresh.attestor.events.Attested().process_receipt(receipt)
    assert event["args"]["previous"] == previous
    print(f"attest again: {receipt['gasUsed']} gas")  # noqa: T201


def test_a_replayed_claim_is_refused_even_with_another_proof_of_it(fresh: Chain) -> None:
    binding = fresh.bind()
    claim, proof = _proved(binding, HELD, MARKET, LIMIT)
    fresh.attest(binding, claim.statement, proof)
    for again in (proof, proving_key().prove(claim)):
        with pytest.raises(ContractCustomError, match=_error("EpochNotAfter", "uint64", "uint64")):
            fresh.attest(binding, claim.statement, again)


def test_a_limit_just_below_the_var_is_refused(fresh: Chain) -> None:
    tight = keccak(b"tight")
    fresh.attestor.functions.definePolicy(tight, _policy(fresh.verifier, limit=LIMIT - 1)).transact()
    binding = fresh.bind(policy_id=tight)
    claim, proof = _proved(binding, HELD, MARKET, LIMIT - 1)
    with pytest.raises(ContractCustomError, match=_error("ProofRejected")):
        fresh.attest(binding, claim.statement, proof)


def test_a_forged_pnl_passes_the_proof_but_not_the_fold(fresh: Chain) -> None:
    from tests.circuits.test_var_circuit import forged_pnl  # noqa: PLC0415

    binding = fresh.bind()
    claim = forged_pnl(binding, HELD, MARKET, LIMIT)
    proof = proving_key().prove(claim)
    words = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, 256, 32)]

    assert fresh.verifier.functions.verifyProof(words, list(claim.public_inputs)).call() is True
    with pytest.raises(ContractCustomError, match=_error("FoldMismatch", "uint256", "uint256")):
        fresh.attest(binding, claim.statement, proof)
    e = fold(MARKET.prices, unpack_returns(MARKET.packed, 16), claim.statement.r, claim.statement.z)
    with pytest.raises(ContractCustomError, match=_error("ProofRejected")):
        fresh.attest(binding, replace(claim.statement, e=e), proof)


def _wrong_return(market: Matrix) -> Matrix:
    return replace(market, packed=market.packed[:-1] + bytes([market.packed[-1] ^ 1]))


def _wrong_price(market: Matrix) -> Matrix:
    return replace(market, prices=(market.prices[0] + 1, *market.prices[1:]))


@pytest.mark.parametrize("alter", [_wrong_return, _wrong_price])
def test_unpublished_market_data_is_refused(fresh: Chain, alter: Any) -> None:
    binding, market = fresh.bind(), alter(MARKET)
    claim, proof = _proved(binding, HELD, market, max(LIMIT, var_units(HELD, market)))
    with pytest.raises(ContractCustomError, match=_error("ReturnsIdMismatch", "bytes32", "bytes32")):
        fresh.attest(binding, claim.statement, proof, market)
    later = fresh.bind(epoch=EPOCH + 9)
    with pytest.raises(ContractCustomError, match=_error("ReturnsUnpublished", "bytes32", "uint64")):
        fresh.attest(later, claim.statement, proof, replace(market, epoch=EPOCH + 9))


def test_market_data_of_another_shape_is_refused(fresh: Chain) -> None:
    binding = fresh.bind()
    claim, proof = _proved(binding, HELD, MARKET, LIMIT)
    with pytest.raises(ContractCustomError, match=_error("PriceCount", "uint256", "uint256")):
        fresh.attest(binding, claim.statement, proof, replace(MARKET, prices=MARKET.prices[:12]))
    with pytest.raises(ContractCustomError, match=_error("ReturnsLength", "uint256", "uint256")):
        fresh.attest(binding, claim.statement, proof, replace(MARKET, packed=MARKET.packed[:-3]))


def test_a_submitter_without_the_role_is_refused(fresh: Chain) -> None:
    binding = fresh.bind()
    claim, proof = _proved(binding, HELD, MARKET, LIMIT)
    for sender in (fresh.stranger, fresh.owner):
        with pytest.raises(ContractCustomError, match=_error("NotAttester", "bytes32", "address")):
            fresh.attest(binding, claim.statement, proof, sender=sender)
    other_log = replace(binding, log_id=b"\x09" * 32)
    with pytest.raises(ContractCustomError, match=_error("NotAttester", "bytes32", "address")):
        fresh.attest(other_log, claim.statement, proof)


def test_an_anchor_that_does_not_exist_is_refused(fresh: Chain) -> None:
    binding = fresh.bind(anchor_index=1)
    claim, proof = _proved(fresh.bind(), HELD, MARKET, LIMIT)
    with pytest.raises(ContractCustomError, match=_error("AnchorUnknown", "bytes32", "uint256", "uint256")):
        fresh.attest(binding, claim.statement, proof)


def test_an_unknown_policy_is_refused(fresh: Chain) -> None:
    binding = fresh.bind(policy_id=b"\x07" * 32)
    claim, proof = _proved(fresh.bind(), HELD, MARKET, LIMIT)
    with pytest.raises(ContractCustomError, match=_error("PolicyUnknown", "bytes32")):
        fresh.attest(binding, claim.statement, proof)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": b"\x5c" * 20},
        {"chain_id": 1},
        {"attestor": b"\x01" * 20},
        {"anchor_index": 5},
        {"log_id": b"\x0a" * 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_proof_for_something_else_is_refused(fresh: Chain, changes: dict[str, Any]) -> None:
    claim, proof = _proved(fresh.bind(**changes), HELD, MARKET, LIMIT)
    with pytest.raises(ContractCustomError, match=_error("ProofRejected")):
        fresh.attest(fresh.bind(), claim.statement, proof)


def test_altered_claims_are_refused(fresh: Chain) -> None:
    binding = fresh.bind()
    claim, proof = _proved(binding, HELD, MARKET, LIMIT)
    honest_claim = claim.statement
    overflow = _error("FieldOverflow", "uint256")
    mismatch = _error("FoldMismatch", "uint256", "uint256")
    for altered, reason in (
        (replace(honest_claim, commitment=honest_claim.commitment + 1), _error("ProofRejected")),
        (replace(honest_claim, r=honest_claim.r + 1), mismatch),
        (replace(honest_claim, z=honest_claim.z + 1), mismatch),
        (replace(honest_claim, e=honest_claim.e + 1), mismatch),
        (replace(honest_claim, e=honest_claim.e + SCALAR_FIELD), mismatch),
        (replace(honest_claim, commitment=honest_claim.commitment + SCALAR_FIELD), overflow),
        (replace(honest_claim, r=honest_claim.r + SCALAR_FIELD), overflow),
        (replace(honest_claim, z=honest_claim.z + SCALAR_FIELD), overflow),
    ):
        with pytest.raises(ContractCustomError, match=reason):
            fresh.attest(binding, altered, proof)


def test_the_verifier_answers_false_to_aliases_and_points_off_the_curve(chain: Chain) -> None:
    claim, proof = _proved(chain.bind(), HELD, MARKET, LIMIT)
    words = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, 256, 32)]
    inputs = list(claim.public_inputs)
    verify = chain.verifier.functions.verifyProof

    assert verify(words, inputs).call() is True
    for place in range(3):
        aliased = [value + SCALAR_FIELD * (place == index) for index, value in enumerate(inputs)]
        altered = [(value + (place == index)) % SCALAR_FIELD for index, value in enumerate(inputs)]
        assert verify(words, aliased).call() is False
        assert verify(words, altered).call() is False
    for place in range(8):
        assert verify([word ^ (place == index) for index, word in enumerate(words)], inputs).call() is False
        assert (
            verify([2**256 - 1 if place == index else word for index, word in enumerate(words)], inputs).call() is False
        )
    with pytest.raises(ContractCustomError, match=_error("InputCount", "uint256", "uint256")):
        verify(words, inputs[:2]).call()


def test_the_verifier_shows_its_key_and_refuses_forgeable_ones(chain: Chain) -> None:
    packed = proving_key().packed
    assert chain.verifier.functions.verifyingKey().call() == packed
    x, y = packed[192:256], [int.from_bytes(packed[at : at + 32], "big") for at in (256, 288)]
    minus_gamma = x + b"".join((BASE_FIELD - word).to_bytes(32, "big") for word in y)
    for gamma, delta in (
        (packed[192:320], packed[192:320]),
        (packed[192:320], minus_gamma),
        (bytes(128), packed[320:448]),
        (packed[192:320], bytes(128)),
        (packed[192:320], G2_GENERATOR),
    ):
        with pytest.raises((ContractLogicError, Web3RPCError)):
            _deploy(chain.web3, "Groth16Verifier", packed[:192] + gamma + delta + packed[448:])
    # With e(alpha, beta) gone, A = IC and B = gamma prove anything.
    for forgeable in (bytes(64) + packed[64:], packed[:64] + bytes(128) + packed[192:]):
        with pytest.raises((ContractLogicError, Web3RPCError)):
            _deploy(chain.web3, "Groth16Verifier", forgeable)
    with pytest.raises((ContractLogicError, Web3RPCError)):
        _deploy(chain.web3, "Groth16Verifier", packed[:-1])


def test_a_policy_is_defined_once_by_the_owner_and_only_if_it_fits(fresh: Chain) -> None:
    define = fresh.attestor.functions.definePolicy
    other = keccak(b"other")
    for changes, reason in (
        ({"instruments": 14}, _error("PolicyShape", "uint256", "uint256", "uint256")),
        ({"k": 0}, _error("PolicyShape", "uint256", "uint256", "uint256")),
        ({"limit": 1 << 100}, _error("LimitOutOfRange", "uint256")),
        ({"esLimit": 1}, _error("EsNotAttested", "uint256")),
        ({"window": 250}, _error("UniverseShapeMismatch", "bytes32", "uint256", "uint256")),
        ({"verificationKeyHash": bytes(32)}, _error("VerificationKeyMismatch", "bytes32", "bytes32")),
    ):
        with pytest.raises(ContractCustomError, match=reason):
            define(other, _policy(fresh.verifier, **changes)).transact()
    with pytest.raises(ContractCustomError, match=_error("PolicyExists", "bytes32")):
        define(POLICY_ID, _policy(fresh.verifier, limit=1 << 99)).transact()
    with pytest.raises(ContractCustomError, match=_error("OwnableUnauthorizedAccount", "address")):
        define(other, _policy(fresh.verifier)).transact({"from": fresh.stranger})
    with pytest.raises(ContractCustomError, match=_error("OwnableUnauthorizedAccount", "address")):
        fresh.attestor.functions.setAttester(fresh.log_id, fresh.stranger, True).transact({"from": fresh.stranger})
    define(other, _policy(fresh.verifier)).transact()
    assert fresh.attestor.functions.policyOf(other).call()[:5] == (MARKET.universe_id, 16, 90, 5, LIMIT)


def test_the_oracle_publishes_once_by_role_and_only_what_fits(fresh: Chain) -> None:
    publish = fresh.oracle.functions.publish
    prices, packed, universe = list(MARKET.prices), MARKET.packed, MARKET.universe_id
    day = EPOCH + 5
    for arguments, reason in (
        ((universe, EPOCH, prices, packed), _error("AlreadyPublished", "bytes32", "uint64", "bytes32")),
        ((universe, day, prices[:4], packed), _error("PriceCount", "uint256", "uint256")),
        ((universe, day, prices, packed[:-1]), _error("ReturnsLength", "uint256", "uint256")),
        ((universe, day, [0, *prices[1:]], packed), _error("PriceOutOfRange", "uint256", "uint256")),
        ((universe, day, [1 << 32, *prices[1:]], packed), _error("PriceOutOfRange", "uint256", "uint256")),
        ((b"\1" * 32, day, prices, packed), _error("UniverseUnknown", "bytes32")),
    ):
        with pytest.raises(ContractCustomError, match=reason):
            publish(*arguments).transact()
    with pytest.raises(ContractCustomError, match=_error("NotPublisher", "address")):
        publish(universe, day, prices, packed).transact({"from": fresh.stranger})
    receipt = fresh.web3.eth.wait_for_transaction_receipt(publish(universe, day, prices, packed).transact())
    assert fresh.oracle.functions.returnsIdOf(universe, day).call() == returns_id(replace(MARKET, epoch=day))
    print(f"publish: {receipt['gasUsed']} gas")  # noqa: T201


def test_a_universe_is_registered_once_under_its_own_id(fresh: Chain) -> None:
    register = fresh.oracle.functions.registerUniverse
    with pytest.raises(ContractCustomError, match=_error("UniverseExists", "bytes32")):
        register(MARKET.universe_id, INSTRUMENTS, 250).transact()
    with pytest.raises(ContractCustomError, match=_error("UniverseIdMismatch", "bytes32", "bytes32")):
        register(MARKET.universe_id, INSTRUMENTS[:4], 90).transact()


@pytest.mark.parametrize(("instruments", "window"), [(4, 3), (8, 2), (12, 5), (16, 90), (64, 2)])
def test_extreme_returns_fold_the_same_on_chain_for_every_shape(fresh: Chain, instruments: int, window: int) -> None:
    names = [f"X{number}" for number in range(instruments)]
    rows = [[(-(1 << 23), (1 << 23) - 1, 0, -1, 5)[(w + n) % 5] for n in range(instruments)] for w in range(window)]
    market = Matrix(universe_id(names), EPOCH, ((1 << 32) - 1,) * instruments, pack_returns(rows))
    words, policy_id = [name.encode().ljust(32, b"\0") for name in names], keccak(b"extreme")
    shape = {"universeId": market.universe_id, "instruments": instruments, "window": window, "k": 1}
    for call in (
        fresh.oracle.functions.registerUniverse(market.universe_id, words, window),
        fresh.oracle.functions.publish(market.universe_id, EPOCH, list(market.prices), market.packed),
        fresh.attestor.functions.definePolicy(policy_id, _policy(fresh.verifier, **shape)),
    ):
        fresh.web3.eth.wait_for_transaction_receipt(call.transact())
    binding = fresh.bind(policy_id=policy_id)
    for r, z in ((0, 0), (1, 1), (SCALAR_FIELD - 1, SCALAR_FIELD - 1), (3**150 % SCALAR_FIELD, 5**140 % SCALAR_FIELD)):
        e = evaluate(columns(market.prices, rows, r), z)
        statement = Statement(0, 0, 0, 0, 0, 0, 0, r, z, e)
        # The right fold gets as far as the proof
        with pytest.raises(ContractCustomError, match=_error("ProofRejected")):
            fresh.attest(binding, statement, bytes(256), market)
        with pytest.raises(ContractCustomError, match=_error("FoldMismatch", "uint256", "uint256")):
            fresh.attest(binding, replace(statement, e=(e + 1) % SCALAR_FIELD), bytes(256), market)


def test_the_contract_computes_the_same_context(chain: Chain) -> None:
    binding = chain.bind(previous=b"\x0b" * 32, anchor_index=3)
    computed = chain.attestor.functions.contextOf(
        Web3.to_checksum_address(binding.subject),
        binding.epoch,
        binding.policy_id,
        binding.previous,
        binding.log_id,
        binding.anchor_index,
    ).call()
    assert computed == context(binding)
    assert SHAPE.window == 90
    assert public_inputs(Statement(computed, 0, 0, 0, 0, 0, 0, 0, 0, 0))[1] == computed
