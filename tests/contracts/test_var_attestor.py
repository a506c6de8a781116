"""What the attestor, the returns oracle and the verifier do for the honest, and how they are set up."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak
from web3 import Web3
from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError

from backend.kernel.field import SCALAR_FIELD
from backend.proofs.engine.claim import attestation_id, columns, context, evaluate
from backend.proofs.engine.returns import pack_returns, returns_id, universe_id
from backend.proofs.types import Limits, Matrix, Positions
from scripts.chaos.attestor_chain import AttestorChain, selector, undone
from scripts.deploy._plan import G2_GENERATOR
from scripts.local_node import deploy
from tests.circuits.example import CIRCUIT, EPOCH, proving_key, tightest
from tests.contracts.var_world import (
    BOTH,
    HELD,
    INSTRUMENTS,
    LIMITS,
    MARKET,
    NEXT_MARKET,
    POLICY,
    PROOF_REJECTED,
    attest,
    proved,
    refuses,
    var_world,
    verifies,
)

BASE_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
FIRST_GAS, NEXT_GAS = 450_000, 450_000


@pytest.fixture(scope="module")
def chain() -> Iterator[AttestorChain]:
    with var_world() as world:
        yield world


@pytest.fixture
def fresh(chain: AttestorChain) -> Iterator[AttestorChain]:
    """Undo whatever a test did."""
    with undone(chain.web3):
        yield chain


@pytest.mark.parametrize("circuit", BOTH)
def test_an_honest_claim_is_stored_and_announced_for_less_than_450_000_gas(fresh: AttestorChain, circuit: str) -> None:
    binding = fresh.bind(POLICY[circuit], EPOCH)
    claim, proof = proved(binding, circuit)

    receipt = attest(fresh, binding, claim.statement, proof)

    expected = attestation_id(context(binding), claim.statement.commitment, returns_id(MARKET))
    (event,) = fresh.attestor.events.Attested().process_receipt(receipt)
    subject = Web3.to_checksum_address(binding.subject)
    assert event["args"] == {
        "subject": subject,
        "epoch": EPOCH,
        "policyId": POLICY[circuit],
        "attestationId": expected,
        "previous": bytes(32),
        "logId": fresh.log_id,
        "anchorIndex": 0,
        "positionCommitment": claim.statement.commitment,
        "returnsId": returns_id(MARKET),
    }
    assert fresh.attestor.functions.latestOf(subject, POLICY[circuit]).call() == expected
    assert fresh.attestor.functions.attestationAt(subject, EPOCH, POLICY[circuit]).call() == expected
    assert receipt["gasUsed"] <= FIRST_GAS
    print(f"attest {circuit}: {receipt['gasUsed']} gas")  # noqa: T201


def test_the_next_epoch_continues_the_chain_and_only_the_chain(fresh: AttestorChain) -> None:
    first = fresh.bind(POLICY[CIRCUIT], EPOCH)
    claim, proof = proved(first)
    attest(fresh, first, claim.statement, proof)
    # A fifth of the book keeps the same limits on the next day's matrix
    small = Positions(HELD.salt, tuple(quantity // 5 for quantity in HELD.quantities))
    least = tightest(small, NEXT_MARKET)
    assert least.var <= LIMITS[CIRCUIT].var
    assert least.es <= LIMITS[CIRCUIT].es

    detached = fresh.bind(POLICY[CIRCUIT], EPOCH + 1)
    claim, proof = proved(detached, held=small, market=NEXT_MARKET)
    refuses(fresh, PROOF_REJECTED, detached, claim.statement, proof, NEXT_MARKET)

    previous = fresh.attestor.functions.latestOf(Web3.to_checksum_address(first.subject), POLICY[CIRCUIT]).call()
    chained = replace(detached, previous=previous)
    claim, proof = proved(chained, held=small, market=NEXT_MARKET)
    receipt = attest(fresh, chained, claim.statement, proof, NEXT_MARKET)

    (event,) = fresh.attestor.events.Attested().process_receipt(receipt)
    assert event["args"]["previous"] == previous
    assert receipt["gasUsed"] <= NEXT_GAS
    print(f"attest again: {receipt['gasUsed']} gas")  # noqa: T201


def test_one_subject_is_attested_under_two_policies_in_chains_of_their_own(fresh: AttestorChain) -> None:
    for circuit in BOTH:
        binding = fresh.bind(POLICY[circuit], EPOCH)
        claim, proof = proved(binding, circuit)
        attest(fresh, binding, claim.statement, proof)
    subject = Web3.to_checksum_address(binding.subject)
    assert len({fresh.attestor.functions.latestOf(subject, POLICY[circuit]).call() for circuit in BOTH}) == 2


def test_the_contract_computes_the_same_context(chain: AttestorChain) -> None:
    binding = chain.bind(POLICY[CIRCUIT], EPOCH, previous=b"\x0b" * 32, anchor_index=3)
    computed = chain.attestor.functions.contextOf(
        Web3.to_checksum_address(binding.subject),
        binding.epoch,
        binding.policy_id,
        binding.previous,
        binding.log_id,
        binding.anchor_index,
    ).call()
    assert computed == context(binding)


def test_the_verifier_answers_false_to_what_is_no_proof(chain: AttestorChain) -> None:
    claim, proof = proved(chain.bind(POLICY[CIRCUIT], EPOCH))
    assert verifies(chain, CIRCUIT, proof, claim.public_inputs)
    for place in range(8):
        flipped = bytearray(proof)
        flipped[32 * place + 31] ^= 1
        assert not verifies(chain, CIRCUIT, bytes(flipped), claim.public_inputs)
        above = proof[: 32 * place] + b"\xff" * 32 + proof[32 * place + 32 :]
        assert not verifies(chain, CIRCUIT, above, claim.public_inputs)
    assert not verifies(chain, CIRCUIT, bytes(256), claim.public_inputs)
    with pytest.raises(ContractCustomError, match=selector("InputCount", "uint256", "uint256")):
        verifies(chain, CIRCUIT, proof, claim.public_inputs[:2])


def test_the_verifier_shows_its_key_and_refuses_forgeable_ones(chain: AttestorChain) -> None:
    packed = proving_key().packed
    assert chain.verifiers[CIRCUIT].functions.verifyingKey().call() == packed
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
            deploy(chain.web3, "Groth16Verifier", packed[:192] + gamma + delta + packed[448:])
    # With e(alpha, beta) gone, A = IC and B = gamma prove anything.
    for forgeable in (bytes(64) + packed[64:], packed[:64] + bytes(128) + packed[192:]):
        with pytest.raises((ContractLogicError, Web3RPCError)):
            deploy(chain.web3, "Groth16Verifier", forgeable)
    with pytest.raises((ContractLogicError, Web3RPCError)):
        deploy(chain.web3, "Groth16Verifier", packed[:-1])


SHAPE = selector("PolicyShape", "uint256", "uint256", "uint256")
TAIL = selector("PolicyTail", "uint256", "uint256", "uint256")
WIDTHS = selector("PolicyWidths", "uint256", "uint256", "uint256")
LIMIT = selector("LimitOutOfRange", "uint256", "uint256")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"instruments": 14}, SHAPE),
        ({"instruments": 0}, SHAPE),
        ({"k": 0}, SHAPE),
        ({"k": 91}, SHAPE),
        ({"k": 4}, TAIL),
        ({"k": 6}, TAIL),
        ({"tailDenominator": 0}, TAIL),
        ({"tailNumerator": 11}, TAIL),
        ({"quantityBits": 41}, WIDTHS),
        ({"quantityBits": 0}, WIDTHS),
        ({"pnlBits": 84}, WIDTHS),
        ({"limitBits": 83}, WIDTHS),
        ({"limit": 1 << 82}, LIMIT),
        ({"limit": (1 << 128) - 1}, LIMIT),  # how -1 would come
        ({"esLimit": 1 << 82}, LIMIT),
        ({"window": 250}, selector("UniverseShapeMismatch", "bytes32", "uint256", "uint256")),
        ({"verificationKeyHash": bytes(32)}, selector("VerificationKeyMismatch", "bytes32", "bytes32")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_policy_that_does_not_fit_is_refused(chain: AttestorChain, changes: dict[str, Any], error: str) -> None:
    policy = chain.policy(CIRCUIT, MARKET.universe_id, LIMITS[CIRCUIT], **changes)
    with pytest.raises(ContractCustomError, match=error):
        chain.attestor.functions.definePolicy(keccak(b"other"), policy).call()


def test_a_policy_is_defined_once_and_by_the_owner(fresh: AttestorChain) -> None:
    define, other = fresh.attestor.functions.definePolicy, keccak(b"other")
    wider = fresh.policy(CIRCUIT, MARKET.universe_id, Limits((1 << 82) - 1, (1 << 82) - 1))
    with pytest.raises(ContractCustomError, match=selector("PolicyExists", "bytes32")):
        fresh.send(define(POLICY[CIRCUIT], wider))
    stranger = selector("OwnableUnauthorizedAccount", "address")
    with pytest.raises(ContractCustomError, match=stranger):
        fresh.send(define(other, wider), fresh.stranger)
    with pytest.raises(ContractCustomError, match=stranger):
        fresh.send(fresh.attestor.functions.setAttester(fresh.log_id, fresh.stranger, True), fresh.stranger)
    fresh.define(other, wider)
    assert fresh.attestor.functions.policyOf(other).call() == wider


def test_the_oracle_publishes_once_by_role_and_only_what_fits(fresh: AttestorChain) -> None:
    publish = fresh.oracle.functions.publish
    prices, packed, universe = list(MARKET.prices), MARKET.packed, MARKET.universe_id
    day = EPOCH + 5
    for arguments, error in (
        ((universe, EPOCH, prices, packed), selector("AlreadyPublished", "bytes32", "uint64", "bytes32")),
        ((universe, day, prices[:4], packed), selector("PriceCount", "uint256", "uint256")),
        ((universe, day, prices, packed[:-1]), selector("ReturnsLength", "uint256", "uint256")),
        ((universe, day, [0, *prices[1:]], packed), selector("PriceOutOfRange", "uint256", "uint256")),
        ((universe, day, [1 << 32, *prices[1:]], packed), selector("PriceOutOfRange", "uint256", "uint256")),
        ((b"\1" * 32, day, prices, packed), selector("UniverseUnknown", "bytes32")),
    ):
        with pytest.raises(ContractCustomError, match=error):
            fresh.send(publish(*arguments))
    with pytest.raises(ContractCustomError, match=selector("NotPublisher", "address")):
        fresh.send(publish(universe, day, prices, packed), fresh.stranger)
    receipt = fresh.publish(replace(MARKET, epoch=day))
    assert fresh.oracle.functions.returnsIdOf(universe, day).call() == returns_id(replace(MARKET, epoch=day))
    print(f"publish: {receipt['gasUsed']} gas")  # noqa: T201


def test_a_universe_is_registered_once_under_its_own_id(fresh: AttestorChain) -> None:
    with pytest.raises(ContractCustomError, match=selector("UniverseExists", "bytes32")):
        fresh.register(INSTRUMENTS, MARKET.universe_id, 250)
    with pytest.raises(ContractCustomError, match=selector("UniverseIdMismatch", "bytes32", "bytes32")):
        fresh.register(INSTRUMENTS[:4], MARKET.universe_id, 90)


def test_market_data_of_another_shape_is_refused(chain: AttestorChain) -> None:
    binding = chain.bind(POLICY[CIRCUIT], EPOCH)
    claim, proof = proved(binding)
    for market, error in (
        (replace(MARKET, prices=MARKET.prices[:12]), selector("PriceCount", "uint256", "uint256")),
        (replace(MARKET, packed=MARKET.packed[:-3]), selector("ReturnsLength", "uint256", "uint256")),
        (replace(MARKET, packed=MARKET.packed + bytes(48)), selector("ReturnsLength", "uint256", "uint256")),
    ):
        refuses(chain, error, binding, claim.statement, proof, market)


@pytest.mark.parametrize(("instruments", "window"), [(4, 3), (8, 2), (12, 5), (16, 90), (64, 2)])
def test_extreme_returns_fold_the_same_on_chain_for_every_shape(
    fresh: AttestorChain, instruments: int, window: int
) -> None:
    names = tuple(f"X{number}" for number in range(instruments))
    rows = [[(-(1 << 23), (1 << 23) - 1, 0, -1, 5)[(w + n) % 5] for n in range(instruments)] for w in range(window)]
    market = Matrix(universe_id(names), EPOCH, ((1 << 32) - 1,) * instruments, pack_returns(rows))
    fresh.register(names, market.universe_id, window)
    fresh.publish(market)
    harness = deploy(fresh.web3, "FoldHarness", file="Harnesses")
    for r, z in ((0, 0), (1, 1), (SCALAR_FIELD - 1, SCALAR_FIELD - 1), (3**150 % SCALAR_FIELD, 5**140 % SCALAR_FIELD)):
        e = evaluate(columns(market.prices, rows, r), z)
        assert harness.functions.fold(list(market.prices), market.packed, r, z).call() == e
