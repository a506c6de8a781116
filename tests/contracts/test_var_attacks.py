"""What a dishonest prover, submitter or publisher tries on the real contract, each beside its accepted twin.

That a development key stays on local chains is tested in test_deploy_plan.py; that the commitment is the log's is the
pack's to show (tests/backend/transparency/test_var_commitment.py).
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from eth_utils.crypto import keccak
from web3 import Web3
from web3.exceptions import ContractCustomError

from backend.kernel.field import SCALAR_FIELD, limbs
from backend.kernel.poseidon import POSITION_DOMAIN, absorb, pack
from backend.proofs.engine.claim import fold, public_inputs
from backend.proofs.engine.returns import pack_returns, unpack_returns
from backend.proofs.types import Binding, Claim, Limits, Matrix, Positions, Statement
from scripts.chaos.attestor_chain import AttestorChain, open_log, selector, undone
from scripts.local_node import ask, deploy
from tests.circuits.attacks import forged_pnl
from tests.circuits.example import CIRCUIT, EPOCH, claimed, flags, matrix, pnl, proving_key
from tests.contracts.var_world import (
    ANCHOR_UNKNOWN,
    BOTH,
    EPOCH_NOT_AFTER,
    FIELD_OVERFLOW,
    GENEROUS,
    GENEROUS_POLICY,
    HELD,
    LIMITS,
    MARKET,
    MOST,
    NEXT_MARKET,
    NOT_ATTESTER,
    POLICY,
    POLICY_UNKNOWN,
    PROOF_REJECTED,
    RETURNS_ID_MISMATCH,
    RETURNS_UNPUBLISHED,
    VAR_ONLY,
    attempt,
    attest,
    proved,
    refuses,
    var_world,
    verifies,
)

DAYS = pnl(HELD, MARKET)
WORST = sorted(range(90), key=DAYS.__getitem__)
BASE_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583


@pytest.fixture(scope="module")
def chain() -> Iterator[AttestorChain]:
    with var_world() as world:
        yield world


@pytest.fixture
def fresh(chain: AttestorChain) -> Iterator[AttestorChain]:
    """Undo whatever a test did."""
    with undone(chain.web3):
        yield chain


def accepted(
    chain: AttestorChain, binding: Binding, circuit: str = CIRCUIT, market: Matrix = MARKET, **parts: Any
) -> tuple[Claim, bytes]:
    """Return the honest claim and proof after showing that the entry point takes them."""
    claim, proof = proved(binding, circuit, market=market, **parts)
    assert chain.accepts(binding, claim.statement, proof, market)
    return claim, proof


# --- witnesses


@pytest.mark.parametrize(("circuit", "short"), [(CIRCUIT, (1, 0)), (CIRCUIT, (0, 1)), (VAR_ONLY, (1, 0))])
def test_one_unit_below_the_var_or_the_es_is_refused(
    fresh: AttestorChain, circuit: str, short: tuple[int, int]
) -> None:
    accepted(fresh, fresh.bind(POLICY[circuit], EPOCH), circuit)
    limits = Limits(LIMITS[circuit].var - short[0], LIMITS[circuit].es - short[1])
    policy_id = fresh.define(b"\x11" * 32, fresh.policy(circuit, MARKET.universe_id, limits))
    binding = fresh.bind(policy_id, EPOCH)
    claim, proof = proved(binding, circuit, limits=limits)
    refuses(fresh, PROOF_REJECTED, binding, claim.statement, proof)


def marked(count: int, **others: int) -> list[int]:
    """Return flags on the worst days, and other values on days named by their rank."""
    chosen = list(flags(DAYS, count))
    for rank, value in others.items():
        chosen[WORST[int(rank.removeprefix("rank"))]] = value
    return chosen


@pytest.mark.parametrize(
    ("circuit", "chosen"),
    [
        (CIRCUIT, marked(5)),
        (CIRCUIT, marked(3)),
        (CIRCUIT, marked(5, rank89=-1)),
        (CIRCUIT, marked(2, rank2=2)),
        (VAR_ONLY, marked(5)),
    ],
    ids=["one more", "one less", "minus one", "two", "VaR: one more"],
)
def test_flags_that_are_not_k_minus_one_bits_are_refused(fresh: AttestorChain, circuit: str, chosen: list[int]) -> None:
    # With five flags the sixth loss would do as the VaR
    limits = Limits(-DAYS[WORST[5]], GENEROUS[circuit].es)
    policy_id = fresh.define(b"\x13" * 32, fresh.policy(circuit, MARKET.universe_id, limits))
    _, honest_proof = accepted(fresh, fresh.bind(POLICY[circuit], EPOCH), circuit)
    binding = fresh.bind(policy_id, EPOCH)
    claim = claimed(HELD, MARKET, limits, circuit, marked=chosen, v=limits.var, binding=binding)
    refuses(fresh, PROOF_REJECTED, binding, claim.statement, attempt(claim, circuit, honest_proof))


@pytest.mark.parametrize(
    ("circuit", "limits"),
    [
        (CIRCUIT, Limits(-1, MOST)),
        (CIRCUIT, Limits(LIMITS[CIRCUIT].var, -1)),
        (CIRCUIT, Limits(LIMITS[CIRCUIT].var, 1 << 82)),
        (CIRCUIT, GENEROUS[CIRCUIT]),
        (VAR_ONLY, Limits(-1)),
        (VAR_ONLY, GENEROUS[VAR_ONLY]),
    ],
)
def test_a_limit_that_the_prover_chooses_is_refused(chain: AttestorChain, circuit: str, limits: Limits) -> None:
    binding = chain.bind(POLICY[circuit], EPOCH)
    _, honest_proof = accepted(chain, binding, circuit)
    claim = claimed(HELD, MARKET, limits, circuit, binding=binding)
    proof = attempt(claim, circuit, honest_proof)
    # Where the circuit knows such a limit the proof as such is good: the contract puts the policy's in its place
    assert verifies(chain, circuit, proof, claim.public_inputs) is (limits == GENEROUS[circuit])
    refuses(chain, PROOF_REJECTED, binding, claim.statement, proof)


@pytest.mark.parametrize(
    ("circuit", "quantity"),
    [(CIRCUIT, 1 << 40), (CIRCUIT, SCALAR_FIELD // 2), (VAR_ONLY, 1 << 40)],
)
def test_a_quantity_out_of_range_is_refused(fresh: AttestorChain, circuit: str, quantity: int) -> None:
    # No return at all, so that nothing but the range speaks against it
    calm = replace(MARKET, epoch=EPOCH + 2, packed=pack_returns([[0] * 16] * 90))
    fresh.publish(calm)
    binding = fresh.bind(POLICY[circuit], EPOCH + 2)
    _, honest_proof = accepted(fresh, binding, circuit, calm, held=Positions(5, ((1 << 40) - 1, *(0,) * 15)))
    large = Positions(5, (quantity, *(0,) * 15))
    packed = pack([held + (1 << 40) for held in large.quantities], 41, 6)
    commitment = absorb(POSITION_DOMAIN, (5, *limbs(MARKET.universe_id), *packed))
    claim = claimed(large, calm, LIMITS[circuit], circuit, days=[0] * 90, commitment=commitment, binding=binding)
    refuses(fresh, PROOF_REJECTED, binding, claim.statement, attempt(claim, circuit, honest_proof), calm)


@pytest.mark.parametrize("circuit", BOTH)
def test_a_forged_pnl_passes_groth16_and_fails_at_the_entry_point(fresh: AttestorChain, circuit: str) -> None:
    policy_id = fresh.define(b"\x14" * 32, fresh.policy(circuit, MARKET.universe_id, Limits(0)))
    binding = fresh.bind(policy_id, EPOCH)
    claim = forged_pnl(HELD, MARKET, Limits(0), circuit, binding)
    proof = proving_key(circuit).prove(claim)

    assert verifies(fresh, circuit, proof, claim.public_inputs)
    refuses(fresh, PROOF_REJECTED, binding, claim.statement, proof)

    e = fold(MARKET.prices, unpack_returns(MARKET.packed, 16), claim.statement.r, claim.statement.z)
    assert e != claim.statement.e
    assert not verifies(fresh, circuit, proof, public_inputs(replace(claim.statement, e=e)))
    accepted(fresh, binding, circuit, held=Positions(5, (0,) * 16), limits=Limits(0))


@pytest.mark.parametrize(("circuit", "shifts"), [(CIRCUIT, {44: 1, 89: -1}), (VAR_ONLY, {89: -1})], ids=str)
def test_a_pnl_that_does_not_follow_from_the_positions_is_refused(
    chain: AttestorChain, circuit: str, shifts: dict[int, int]
) -> None:
    binding = chain.bind(GENEROUS_POLICY[circuit], EPOCH)
    _, honest_proof = accepted(chain, binding, circuit, limits=GENEROUS[circuit])
    days = [day + shifts.get(place, 0) for place, day in enumerate(DAYS)]
    claim = claimed(HELD, MARKET, GENEROUS[circuit], circuit, days=days, binding=binding)
    refuses(chain, PROOF_REJECTED, binding, claim.statement, attempt(claim, circuit, honest_proof))


def test_the_positions_of_another_commitment_are_refused(chain: AttestorChain) -> None:
    binding = chain.bind(POLICY[CIRCUIT], EPOCH)
    claim, honest_proof = accepted(chain, binding)
    ours = claim.statement.commitment
    empty = claimed(Positions(5, (0,) * 16), MARKET, LIMITS[CIRCUIT], commitment=ours, binding=binding)
    refuses(chain, PROOF_REJECTED, binding, empty.statement, attempt(empty, CIRCUIT, honest_proof))
    for name, value in (("salt", HELD.salt + 1), ("universeLo", limbs(MARKET.universe_id)[1] ^ 1), ("attestation", 1)):
        other = replace(claim, inputs={**claim.inputs, name: value})
        refuses(chain, PROOF_REJECTED, binding, claim.statement, attempt(other, CIRCUIT, honest_proof))


# --- expected shortfall


def test_a_v_above_the_limit_is_refused(fresh: AttestorChain) -> None:
    # The fourth loss is as good a v as the fifth, as long as the VaR limit leaves room for it
    fourth, fifth = -DAYS[WORST[3]], -DAYS[WORST[4]]
    assert fourth > fifth
    for policy_id, limit, taken in ((b"\x16" * 32, fourth, True), (b"\x17" * 32, fourth - 1, False)):
        limits = Limits(limit, MOST)
        fresh.define(policy_id, fresh.policy(CIRCUIT, MARKET.universe_id, limits))
        binding = fresh.bind(policy_id, EPOCH)
        claim = claimed(HELD, MARKET, limits, v=fourth, binding=binding)
        proof = attempt(claim, CIRCUIT, bytes(256))
        assert fresh.accepts(binding, claim.statement, proof, MARKET) is taken


@pytest.mark.parametrize(
    ("v", "ranks"),
    [
        (-DAYS[WORST[4]] - 1, None),
        (0, None),
        (-DAYS[WORST[3]] + 1, None),
        (-DAYS[WORST[4]], (0, 1, 2, 89)),
        (-DAYS[WORST[4]], (1, 2, 3, 4)),
    ],
    ids=lambda value: "worst days" if value is None else None,
)
def test_a_v_or_flags_off_the_tail_are_refused(chain: AttestorChain, v: int, ranks: tuple[int, ...] | None) -> None:
    # A lower v, or a flagged day that loses less than v, would count too little of the tail
    limits = GENEROUS[CIRCUIT]
    binding = chain.bind(GENEROUS_POLICY[CIRCUIT], EPOCH)
    _, honest_proof = accepted(chain, binding, limits=limits)
    chosen = None if ranks is None else [int(day in {WORST[rank] for rank in ranks}) for day in range(90)]
    claim = claimed(HELD, MARKET, limits, marked=chosen, v=v, binding=binding)
    refuses(chain, PROOF_REJECTED, binding, claim.statement, attempt(claim, CIRCUIT, honest_proof))


def test_a_policy_without_an_es_limit_asks_the_es_circuit_for_an_es_of_zero(fresh: AttestorChain) -> None:
    limits = Limits(MOST, 0)
    policy_id = fresh.define(b"\x19" * 32, fresh.policy(CIRCUIT, MARKET.universe_id, limits))
    binding = fresh.bind(policy_id, EPOCH)
    accepted(fresh, binding, held=Positions(5, (0,) * 16), limits=limits)
    claim, proof = proved(binding, limits=limits)
    refuses(fresh, PROOF_REJECTED, binding, claim.statement, proof)


def test_neither_circuits_proof_passes_under_the_others_policy(fresh: AttestorChain) -> None:
    var = LIMITS[CIRCUIT].var
    same = {circuit: Limits(var, LIMITS[CIRCUIT].es if circuit == CIRCUIT else 0) for circuit in BOTH}
    for ours, theirs in ((CIRCUIT, VAR_ONLY), (VAR_ONLY, CIRCUIT)):
        binding = fresh.bind(POLICY[theirs], EPOCH)
        accepted(fresh, binding, theirs)
        for limits in {same[ours], same[theirs]}:
            claim = claimed(HELD, MARKET, limits, ours, binding=binding)
            proof = attempt(claim, ours, bytes(256))
            refuses(fresh, PROOF_REJECTED, binding, claim.statement, proof)


def test_the_var_circuit_never_attests_an_es_limit(fresh: AttestorChain) -> None:
    limits = Limits(MOST, MOST)
    policy_id = fresh.define(b"\x1a" * 32, fresh.policy(VAR_ONLY, MARKET.universe_id, limits))
    binding = fresh.bind(policy_id, EPOCH)
    for tried in (limits, Limits(MOST)):
        claim, proof = proved(binding, VAR_ONLY, Positions(5, (0,) * 16), limits=tried)
        refuses(fresh, PROOF_REJECTED, binding, claim.statement, proof)
    accepted(fresh, fresh.bind(GENEROUS_POLICY[VAR_ONLY], EPOCH), VAR_ONLY, limits=GENEROUS[VAR_ONLY])


# --- the statement and the proof


@pytest.mark.parametrize("circuit", BOTH)
@pytest.mark.parametrize("name", [field.name for field in fields(Statement)])
def test_every_value_of_the_statement_is_bound(chain: AttestorChain, circuit: str, name: str) -> None:
    binding = chain.bind(POLICY[circuit], EPOCH)
    claim, proof = accepted(chain, binding, circuit)
    assert verifies(chain, circuit, proof, claim.public_inputs)
    for other in ((getattr(claim.statement, name) + 1) % SCALAR_FIELD, 0, getattr(claim.statement, name) ^ 1):
        altered = replace(claim.statement, **{name: other})
        if altered == claim.statement:
            continue
        assert not verifies(chain, circuit, proof, public_inputs(altered))
        if name in {"commitment", "r", "z"}:
            refuses(chain, PROOF_REJECTED, binding, altered, proof)


@pytest.mark.parametrize("circuit", BOTH)
def test_every_public_signal_is_bound_and_has_one_form(chain: AttestorChain, circuit: str) -> None:
    binding = chain.bind(POLICY[circuit], EPOCH)
    claim, proof = accepted(chain, binding, circuit)
    for place in range(3):
        for other in (SCALAR_FIELD, 2 * SCALAR_FIELD, 1, -1):
            altered = [value + other * (place == index) for index, value in enumerate(claim.public_inputs)]
            assert not verifies(chain, circuit, proof, altered)


@pytest.mark.parametrize("name", ["commitment", "r", "z"])
def test_a_claim_plus_the_field_order_is_refused(chain: AttestorChain, name: str) -> None:
    binding = chain.bind(POLICY[CIRCUIT], EPOCH)
    claim, proof = accepted(chain, binding)
    aliased = replace(claim.statement, **{name: getattr(claim.statement, name) + SCALAR_FIELD})
    refuses(chain, FIELD_OVERFLOW, binding, aliased, proof)


def test_an_aliased_commitment_is_no_second_attestation_of_the_same_positions(chain: AttestorChain) -> None:
    binding = chain.bind(POLICY[CIRCUIT], EPOCH)
    honest_claim, _ = accepted(chain, binding)
    aliased = honest_claim.statement.commitment + SCALAR_FIELD
    claim = claimed(HELD, MARKET, LIMITS[CIRCUIT], commitment=aliased, binding=binding)
    proof = proving_key().prove(claim)
    refuses(chain, FIELD_OVERFLOW, binding, claim.statement, proof)
    reduced = replace(claim.statement, commitment=honest_claim.statement.commitment)
    refuses(chain, PROOF_REJECTED, binding, reduced, proof)


def malleated(proof: bytes) -> bytes:
    """Return (-A, -B, C)."""
    parts = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, 256, 32)]
    for place in (1, 4, 5):
        parts[place] = BASE_FIELD - parts[place]
    return b"".join(part.to_bytes(32, "big") for part in parts)


def test_a_replayed_claim_is_refused_even_with_another_proof_of_it(fresh: AttestorChain) -> None:
    binding = fresh.bind(POLICY[CIRCUIT], EPOCH)
    claim, proof = accepted(fresh, binding)
    mirrored = malleated(proof)
    assert mirrored != proof
    assert verifies(fresh, CIRCUIT, mirrored, claim.public_inputs)
    assert fresh.accepts(binding, claim.statement, mirrored, MARKET)

    attest(fresh, binding, claim.statement, proof)
    for again in (proof, mirrored, proving_key().prove(claim)):
        refuses(fresh, EPOCH_NOT_AFTER, binding, claim.statement, again)


# --- what the proof is bound to


def test_a_used_epoch_and_those_before_it_are_refused(fresh: AttestorChain) -> None:
    small = Positions(HELD.salt, tuple(quantity // 5 for quantity in HELD.quantities))
    later = fresh.bind(POLICY[CIRCUIT], EPOCH + 1)
    claim, proof = accepted(fresh, later, market=NEXT_MARKET, held=small)
    attest(fresh, later, claim.statement, proof, NEXT_MARKET)
    latest = fresh.attestor.functions.latestOf(Web3.to_checksum_address(later.subject), POLICY[CIRCUIT]).call()
    for epoch, market in ((EPOCH + 1, NEXT_MARKET), (EPOCH, MARKET)):
        binding = fresh.bind(POLICY[CIRCUIT], epoch, previous=latest)
        claim, proof = proved(binding, held=small, market=market)
        refuses(fresh, EPOCH_NOT_AFTER, binding, claim.statement, proof, market)


@pytest.mark.parametrize("changes", [{"previous": b"\x0b" * 32}, {"policy_id": b"\x0c" * 32}], ids=str)
def test_a_proof_for_something_else_is_refused(chain: AttestorChain, changes: dict[str, Any]) -> None:
    binding = chain.bind(POLICY[CIRCUIT], EPOCH)
    accepted(chain, binding)
    claim, proof = proved(replace(binding, **changes))
    assert verifies(chain, CIRCUIT, proof, claim.public_inputs)
    refuses(chain, PROOF_REJECTED, binding, claim.statement, proof)


def test_a_proof_is_good_for_its_own_subject_epoch_anchor_and_log_only(fresh: AttestorChain) -> None:
    fresh.publish(replace(MARKET, epoch=EPOCH + 3))
    other_log = open_log(fresh.web3, fresh.anchor, "refi.trading/other", anchors=2)
    fresh.send(fresh.attestor.functions.setAttester(other_log, fresh.attester, True))
    own = fresh.bind(POLICY[CIRCUIT], EPOCH)
    places = {
        "own": own,
        "subject": replace(own, subject=b"\x5c" * 20),
        "anchor": replace(own, anchor_index=1),
        "log": replace(own, log_id=other_log),
        "epoch": replace(own, epoch=EPOCH + 3),
    }
    markets = {name: replace(MARKET, epoch=binding.epoch) for name, binding in places.items()}
    for made_for, origin in places.items():
        claim, proof = proved(origin, market=markets[made_for])
        for used_at, binding in places.items():
            taken = fresh.accepts(binding, claim.statement, proof, markets[used_at])
            assert taken is (made_for == used_at), (made_for, used_at)


def test_a_proof_for_another_chain_is_refused(fresh: AttestorChain) -> None:
    binding = fresh.bind(POLICY[CIRCUIT], EPOCH)
    claim, proof = accepted(fresh, binding)
    elsewhere, other_proof = proved(replace(binding, chain_id=10))
    refuses(fresh, PROOF_REJECTED, binding, elsewhere.statement, other_proof)
    ask(fresh.web3, "anvil_setChainId", 10)
    try:
        refuses(fresh, PROOF_REJECTED, binding, claim.statement, proof)
        assert fresh.accepts(replace(binding, chain_id=10), elsewhere.statement, other_proof, MARKET)
    finally:
        ask(fresh.web3, "anvil_setChainId", 42069)


def test_a_proof_for_one_attestor_is_refused_by_another_of_the_same_policy(fresh: AttestorChain) -> None:
    twin = deploy(fresh.web3, "VarAttestor", fresh.owner, fresh.oracle.address, fresh.anchor.address)
    policy = fresh.policy(CIRCUIT, MARKET.universe_id, LIMITS[CIRCUIT])
    fresh.send(twin.functions.definePolicy(POLICY[CIRCUIT], policy))
    fresh.send(twin.functions.setAttester(fresh.log_id, fresh.attester, True))
    binding = fresh.bind(POLICY[CIRCUIT], EPOCH)
    claim, proof = accepted(fresh, binding)
    refuses(fresh, PROOF_REJECTED, binding, claim.statement, proof, contract=twin)

    there = replace(binding, attestor=bytes.fromhex(twin.address[2:]))
    claim, proof = proved(there)
    refuses(fresh, PROOF_REJECTED, there, claim.statement, proof)
    assert twin.functions.latestOf(Web3.to_checksum_address(there.subject), POLICY[CIRCUIT]).call() == bytes(32)
    attesting = fresh.attesting(there, claim.statement, proof, MARKET, twin)
    assert fresh.send(attesting, fresh.attester)["status"] == 1


def test_a_submitter_without_the_role_is_refused(fresh: AttestorChain) -> None:
    binding = fresh.bind(POLICY[CIRCUIT], EPOCH)
    claim, proof = accepted(fresh, binding)
    for sender in (fresh.stranger, fresh.owner):
        refuses(fresh, NOT_ATTESTER, binding, claim.statement, proof, sender=sender)
    other_log = fresh.bind(POLICY[CIRCUIT], EPOCH, log_id=b"\x09" * 32)
    claim, proof = proved(other_log)
    refuses(fresh, NOT_ATTESTER, other_log, claim.statement, proof)
    fresh.send(fresh.attestor.functions.setAttester(fresh.log_id, fresh.attester, False))
    claim, proof = proved(binding)
    refuses(fresh, NOT_ATTESTER, binding, claim.statement, proof)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"anchor_index": 2}, ANCHOR_UNKNOWN),
        ({"anchor_index": (1 << 64) - 1}, ANCHOR_UNKNOWN),
        ({"policy_id": b"\x07" * 32}, POLICY_UNKNOWN),
        ({"policy_id": bytes(32)}, POLICY_UNKNOWN),
    ],
    ids=["next anchor", "last anchor", "another policy", "no policy"],
)
def test_an_anchor_or_a_policy_that_does_not_exist_is_refused(
    chain: AttestorChain, changes: dict[str, Any], error: str
) -> None:
    binding = chain.bind(POLICY[CIRCUIT], EPOCH)
    claim, proof = accepted(chain, binding)
    refuses(chain, error, replace(binding, **changes), claim.statement, proof)


# --- market data


def wrong_return(market: Matrix) -> Matrix:
    return replace(market, packed=market.packed[:-1] + bytes([market.packed[-1] ^ 1]))


def wrong_price(market: Matrix) -> Matrix:
    return replace(market, prices=(market.prices[0] + 1, *market.prices[1:]))


def swapped_days(market: Matrix) -> Matrix:
    return replace(market, packed=market.packed[48:96] + market.packed[:48] + market.packed[96:])


@pytest.mark.parametrize("alter", [wrong_return, wrong_price, swapped_days])
def test_market_data_altered_by_one_element_is_refused(chain: AttestorChain, alter: Callable[[Matrix], Matrix]) -> None:
    altered, limits = alter(MARKET), GENEROUS[CIRCUIT]
    binding = chain.bind(GENEROUS_POLICY[CIRCUIT], EPOCH)
    accepted(chain, binding, limits=limits)
    claim, proof = proved(binding, market=altered, limits=limits)
    assert verifies(chain, CIRCUIT, proof, claim.public_inputs)
    refuses(chain, RETURNS_ID_MISMATCH, binding, claim.statement, proof, altered)
    refuses(chain, PROOF_REJECTED, binding, claim.statement, proof, MARKET)


def test_a_matrix_that_is_published_after_the_proof_must_be_the_one_that_was_proved(fresh: AttestorChain) -> None:
    guess, other = replace(MARKET, epoch=EPOCH + 5), replace(matrix(11), epoch=EPOCH + 5)
    binding = fresh.bind(POLICY[CIRCUIT], EPOCH + 5)
    claim, proof = proved(binding, market=guess)
    refuses(fresh, RETURNS_UNPUBLISHED, binding, claim.statement, proof, guess)
    with undone(fresh.web3):
        fresh.publish(guess)
        accepted(fresh, binding, market=guess)
    fresh.publish(other)
    refuses(fresh, RETURNS_ID_MISMATCH, binding, claim.statement, proof, guess)
    refuses(fresh, PROOF_REJECTED, binding, claim.statement, proof, other)
    with pytest.raises(ContractCustomError, match=selector("AlreadyPublished", "bytes32", "uint64", "bytes32")):
        fresh.publish(guess)


# --- keys


def test_a_policy_names_its_verifiers_key_and_no_other_circuits_proof_passes_it(fresh: AttestorChain) -> None:
    policy = fresh.policy(CIRCUIT, MARKET.universe_id, LIMITS[CIRCUIT], verifier=fresh.verifiers[VAR_ONLY].address)
    with pytest.raises(ContractCustomError, match=selector("VerificationKeyMismatch", "bytes32", "bytes32")):
        fresh.define(b"\x1c" * 32, policy)
    other = keccak(proving_key(VAR_ONLY).packed)
    policy_id = fresh.define(
        b"\x1c" * 32,
        fresh.policy(
            CIRCUIT,
            MARKET.universe_id,
            LIMITS[CIRCUIT],
            verifier=fresh.verifiers[VAR_ONLY].address,
            verificationKeyHash=other,
        ),
    )
    binding = fresh.bind(policy_id, EPOCH)
    claim, proof = proved(binding)
    assert verifies(fresh, CIRCUIT, proof, claim.public_inputs)
    assert not verifies(fresh, VAR_ONLY, proof, claim.public_inputs)
    refuses(fresh, PROOF_REJECTED, binding, claim.statement, proof)
    accepted(fresh, fresh.bind(POLICY[CIRCUIT], EPOCH))


def test_the_same_circuit_under_another_key_is_refused(chain: AttestorChain) -> None:
    binding = chain.bind(POLICY[CIRCUIT], EPOCH)
    claim, proof = accepted(chain, binding)
    # Another delta: as if somebody's own second phase had been used
    moved = proving_key().packed[:320] + proving_key(VAR_ONLY).packed[320:448] + proving_key().packed[448:]
    stranger = deploy(chain.web3, "Groth16Verifier", moved)
    numbers = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, 256, 32)]
    assert stranger.functions.verifyProof(numbers, list(claim.public_inputs)).call() is False
