"""A claim is attested once, whatever fails on the way; a breach is an outcome, not a fault."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy import update

from backend.kernel.canonical import canonical_json
from backend.kernel.errors import Conflict, NotFound, Tampered, Unavailable
from backend.kernel.field import SCALAR_FIELD
from backend.kit.db import Database
from backend.kit.models import Job
from backend.kit.queue import LEASE, add_job
from backend.ports.signer import KeyRole
from backend.proofs import repository
from backend.proofs.engine.claim import holds
from backend.proofs.engine.kept import AttestationState, Publication, word
from backend.proofs.service import ATTEST_JOB
from backend.proofs.types import Binding, Limits, Statement
from tests.backend.proofs.world import (
    EPOCH,
    KEY,
    LIMIT_UNITS,
    LIMITS,
    LOG_ID,
    OWNER,
    POLICY_ID,
    PROBE_ID,
    ZERO,
    World,
    account,
    sends,
    tx_of,
)


@pytest.fixture
async def world(database: Database) -> World:
    return World(database)


async def test_a_kept_limit_is_proved_and_attested(world: World) -> None:
    await world.prepare()
    made = await world.attest()
    assert made.state is AttestationState.ATTESTED
    assert (made.var, made.limit) == (made.es, made.es_limit) == (Decimal(30), Decimal(30))
    assert made.broken == ()
    assert made.tx_hash == tx_of(world.chain)
    assert made.gas_used == 80_000
    assert world.chain.sent[-1][:3] == (KeyRole.ATTESTER, "VarAttestor", "attest")
    assert world.stages == ["gathering", "proving", "attesting"]
    assert world.breaches == []


async def test_the_proof_of_an_attestation_is_published_as_its_packs_show_it(world: World) -> None:
    await world.prepare()
    await world.attest()
    async with world.database.reading() as session:
        part = await world.attestations.pack_part(session, OWNER.pseudonym, EPOCH)
    assert part is not None
    assert canonical_json(part) in world.pinner.files.values()
    published = len(world.pinner.files)
    await world.attest()
    assert len(world.pinner.files) == published


async def test_what_is_sent_is_the_statement_with_its_proof_words(world: World) -> None:
    await world.prepare()
    claim = (await world.attest()).claim
    assert claim is not None
    submitted, proof = world.contracts.submitted[0]
    assert submitted == (OWNER.address, EPOCH, POLICY_ID, LOG_ID, 0, claim.commitment, *claim.challenges)
    assert b"".join(part.to_bytes(32, "big") for part in proof) == bytes(range(256))


async def test_the_statement_holds_for_a_verifier_who_knows_only_public_data(world: World) -> None:
    await world.prepare()
    claim = (await world.attest()).claim
    assert claim is not None
    attestor = bytes.fromhex(world.chain.address("VarAttestor")[2:])
    subject = bytes.fromhex(OWNER.address[2:])
    binding = Binding(world.chain.id, attestor, subject, EPOCH, POLICY_ID, ZERO, LOG_ID, 0)
    statement, matrix = Statement(*claim.statement), world.returns.matrix(world.market.days()[20])
    assert holds(statement, binding, matrix, LIMITS)
    assert not holds(statement, replace(binding, epoch=EPOCH + 1), matrix, LIMITS)
    assert not holds(statement, binding, matrix, Limits(LIMIT_UNITS - 1, LIMIT_UNITS))
    assert not holds(statement, binding, matrix, Limits(LIMIT_UNITS, LIMIT_UNITS - 1))


async def test_attesting_again_returns_the_same_and_proves_nothing(world: World) -> None:
    await world.prepare()
    assert await world.attest() == await world.attest()
    assert sends(world.chain, "attest") == len(world.prover.proved) == 1


async def test_the_attestation_is_on_the_accounts_record_without_the_value(world: World) -> None:
    await world.prepare()
    made = await world.attest()
    event, fields = (await world.events())[-1]
    assert event == "var.attested"
    assert fields["tx_hash"] == made.tx_hash
    assert fields["policy"] == word(POLICY_ID)
    assert (fields["limit"], fields["es_limit"]) == ("30", "30")
    assert not {"var", "es"} & set(fields)


async def test_a_breach_is_recorded_and_reported_once_and_nothing_is_proved(world: World) -> None:
    await world.prepare(shares=11)
    first, second = await world.attest(), await world.attest()
    assert first == second
    assert first.state is AttestationState.BREACHED
    assert (first.var, first.limit, first.broken) == (Decimal(33), Decimal(30), ("var", "es"))
    assert [breach.subject for breach in world.breaches] == [OWNER.address]
    assert world.prover.proved == []
    assert sends(world.chain, "attest") == 0
    event, fields = (await world.events())[-1]
    assert event == "var.breach"
    shown = {name: fields[name] for name in ("broken", "var", "limit", "es", "es_limit")}
    assert shown == {"broken": "var es", "var": "33", "limit": "30", "es": "33", "es_limit": "30"}


@pytest.mark.parametrize(
    ("limits", "broken"),
    [(Limits(LIMIT_UNITS, LIMIT_UNITS - 1), "es"), (Limits(LIMIT_UNITS - 1, LIMIT_UNITS), "var")],
    ids=["es", "var"],
)
async def test_one_broken_limit_is_a_breach_that_names_it(world: World, limits: Limits, broken: str) -> None:
    world.contracts.limits[POLICY_ID] = limits
    await world.prepare()
    made = await world.attest()
    assert (made.state, made.broken) == (AttestationState.BREACHED, (broken,))
    assert [breach.broken for breach in world.breaches] == [(broken,)]
    assert world.prover.proved == []
    event, fields = (await world.events())[-1]
    assert (event, fields["broken"]) == ("var.breach", broken)


@pytest.mark.parametrize(
    "limits", [Limits(LIMIT_UNITS - 1, LIMIT_UNITS), Limits(LIMIT_UNITS, LIMIT_UNITS - 1)], ids=["var", "es"]
)
async def test_a_limit_one_unit_below_cannot_be_proved_and_a_probe_halts_nobody(world: World, limits: Limits) -> None:
    world.contracts.limits[PROBE_ID] = limits
    await world.prepare()
    probed = await world.attest(policy_id=PROBE_ID)
    assert probed.state is AttestationState.BREACHED
    assert world.breaches == []
    assert (await world.attest()).state is AttestationState.ATTESTED


async def test_a_short_position_gains_where_a_long_one_loses(world: World) -> None:
    await world.prepare(shares=-1_000)
    made = await world.attest()
    assert (made.state, made.var, made.es) == (AttestationState.ATTESTED, Decimal(0), Decimal(0))
    inputs = world.prover.proved[0][0]
    assert inputs["q"] == [SCALAR_FIELD - 1_000 * 10**6, 0, 0]


async def test_nothing_is_attested_before_the_record_is_anchored(world: World) -> None:
    await world.prepare()
    world.anchors.sizes[0] = 0
    with pytest.raises(Conflict, match="does not hold"):
        await world.attest()
    await world.anchor()
    assert (await world.attest()).state is AttestationState.ATTESTED


async def test_an_anchor_can_be_named_and_must_exist(world: World) -> None:
    await world.prepare()
    await world.anchor()
    with pytest.raises(NotFound):
        await world.attest(anchor_index=2)
    made = await world.attest(anchor_index=0)
    assert made.claim is not None
    assert made.claim.anchor_index == 0


async def test_an_epoch_that_was_not_closed_is_not_found(world: World) -> None:
    await world.anchors_only()
    with pytest.raises(NotFound, match="not closed"):
        await world.attest()


async def test_returns_that_were_not_published_are_a_conflict_and_other_ones_tampering(world: World) -> None:
    world.holdings.units[OWNER.id] = {"AAA": 1}
    async with world.database.transaction() as session:
        await world.epochs.close(session, EPOCH)
    await world.anchor()
    with pytest.raises(Conflict, match="not published"):
        await world.attest()
    await world.prepare()
    universe = world.returns.matrix(world.market.days()[20]).universe_id
    world.contracts.matrices[universe, EPOCH] = b"\x03" * 32
    with pytest.raises(Tampered):
        await world.attest()


async def test_an_unknown_policy_is_not_found(world: World) -> None:
    await world.prepare()
    with pytest.raises(NotFound, match="knows no VaR policy"):
        await world.attest(policy_id=PROBE_ID)


@pytest.mark.parametrize(
    ("pinned", "said"),
    [
        ({"instruments": 4}, "instruments 4, not 3"),
        ({"window": 21}, "window 21, not 20"),
        ({"k": 2}, "k 2, not 1"),
        ({"tail": Fraction(3, 2)}, "tail 3/2, not 1/1"),
        ({"quantity_bits": 41}, "quantity bits 41, not 40"),
        ({"limit_bits": 81}, "limit bits 81, not 82"),
        ({"pnl_bits": 82}, "P&L bits 82, not 83"),
        ({"circuit_hash": b"\x04" * 32}, "circuit hash 0x0404"),
        ({"verification_key_hash": b"\x04" * 32}, "verification key hash 0x0404"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
async def test_a_policy_that_pins_anything_else_than_the_provers_circuit_is_refused(
    world: World, pinned: dict[str, Any], said: str
) -> None:
    await world.prepare()
    world.contracts.pinned = replace(KEY, **pinned)
    with pytest.raises(Conflict, match=f"another circuit or key than the prover's: {said}"):
        await world.attest()
    assert world.prover.proved == []


async def test_a_circuit_without_expected_shortfall_serves_no_policy_that_limits_it(world: World) -> None:
    await world.prepare()
    world.prover.known = replace(KEY, expected_shortfall=False)
    with pytest.raises(Conflict, match="an expected shortfall"):
        await world.attest()
    world.contracts.limits[POLICY_ID] = Limits(LIMIT_UNITS)
    made = await world.attest()
    assert (made.state, made.es, made.es_limit) == (AttestationState.ATTESTED, None, None)
    event, fields = (await world.events())[-1]
    assert event == "var.attested"
    assert "es_limit" not in fields


async def test_the_policy_on_chain_must_be_the_one_that_the_settings_describe(world: World) -> None:
    universe = world.returns.matrix(world.market.days()[20]).universe_id
    await world.attestations.require_policy(LIMITS, universe)
    with pytest.raises(Conflict, match=r"allows a VaR of 30 and an ES of 30 USD, .* an ES of 31"):
        await world.attestations.require_policy(Limits(LIMIT_UNITS, 31 * 10**16), universe)
    with pytest.raises(Conflict, match="another universe"):
        await world.attestations.require_policy(LIMITS, ZERO)
    world.contracts.limits.clear()
    with pytest.raises(NotFound, match="knows no VaR policy"):
        await world.attestations.require_policy(LIMITS, universe)


async def test_a_contract_that_computes_another_context_is_tampering(world: World) -> None:
    await world.prepare()
    world.chain.answer("VarAttestor", "contextOf", lambda *_: 1)
    with pytest.raises(Tampered):
        await world.attest()


async def test_a_prover_that_fails_on_a_true_statement_is_a_fault_and_not_a_breach(world: World) -> None:
    await world.prepare()
    world.prover.finds_none = True
    with pytest.raises(Unavailable, match=r"found no proof of a true statement$"):
        await world.attest()
    assert world.breaches == []
    world.prover.finds_none = False
    assert (await world.attest()).state is AttestationState.ATTESTED


async def test_a_lost_receipt_is_made_good_with_the_same_proof(world: World) -> None:
    await world.prepare()
    world.chain.lose_receipts = 1
    with pytest.raises(Unavailable):
        await world.attest()
    made = await world.attest()
    assert made.state is AttestationState.ATTESTED
    assert made.tx_hash == tx_of(world.chain)
    assert sends(world.chain, "attest") == len(world.prover.proved) == 1
    assert [event for event, _ in await world.events()].count("var.attested") == 1


async def test_a_proof_that_was_never_sent_is_sent_and_not_made_again(world: World) -> None:
    await world.prepare()
    honest = world.chain.answers["VarAttestor", "attest"]
    world.chain.answer("VarAttestor", "attest", _unavailable)
    with pytest.raises(Unavailable):
        await world.attest()
    world.chain.answer("VarAttestor", "attest", honest)
    assert (await world.attest()).state is AttestationState.ATTESTED
    assert len(world.prover.proved) == 1


async def test_a_kept_proof_is_not_thrown_away_for_a_newer_anchor(world: World) -> None:
    await world.prepare()
    honest = world.chain.answers["VarAttestor", "attest"]
    world.chain.answer("VarAttestor", "attest", _unavailable)
    with pytest.raises(Unavailable):
        await world.attest()
    await world.anchor()
    world.chain.answer("VarAttestor", "attest", honest)
    made = await world.attest()
    assert made.claim is not None
    assert (made.claim.anchor_index, len(world.prover.proved)) == (0, 1)


@pytest.mark.parametrize("dropped", [True, False])
async def test_what_is_kept_is_the_claim_that_the_chain_attested(world: World, dropped: bool) -> None:
    await world.prepare()
    world.chain.answer("VarAttestor", "attest", _unavailable)
    with pytest.raises(Unavailable):
        await world.attest()
    now = world.clock.wall()
    async with world.database.transaction() as session:
        first = await repository.attestation(session, OWNER.address, EPOCH, POLICY_ID)
        assert first is not None
        assert first.claim is not None
        # Another worker threw the first proof away while its transaction was on the way.
        await repository.drop_proved(session, OWNER.address, EPOCH, POLICY_ID)
        if not dropped:
            other = replace(first, claim=replace(first.claim, anchor_index=1, proof=bytes(256)))
            assert await repository.add_attestation(session, other, now)
        assert await repository.mark_attested(session, first, "0x" + "1a" * 32, 7, now)
        assert not await repository.mark_attested(session, first, "0x" + "2b" * 32, 7, now)
        kept = await repository.attestation(session, OWNER.address, EPOCH, POLICY_ID)
    assert kept == replace(first, state=AttestationState.ATTESTED, tx_hash="0x" + "1a" * 32, gas_used=7)


async def test_a_proof_that_another_attestation_overtook_is_made_again(world: World) -> None:
    await world.prepare()
    honest = world.chain.answers["VarAttestor", "attest"]
    world.chain.answer("VarAttestor", "attest", _unavailable)
    with pytest.raises(Unavailable):
        await world.attest()
    world.chain.answer("VarAttestor", "attest", honest)
    world.contracts.latest[OWNER.address, POLICY_ID] = b"\x05" * 32
    made = await world.attest()
    assert made.claim is not None
    assert made.claim.previous == b"\x05" * 32
    assert len(world.prover.proved) == 2


async def test_an_epoch_that_a_later_one_overtook_is_refused_before_anything_is_proved(world: World) -> None:
    await world.prepare()
    await world.prepare(later=1)
    await world.attestations.attest(OWNER.address, EPOCH + 1, world.stages.append)
    for _ in range(2):
        with pytest.raises(Conflict, match=f"epoch {EPOCH + 1} is attested already"):
            await world.attest()
    assert (len(world.prover.proved), sends(world.chain, "attest")) == (1, 1)


async def test_a_later_epoch_waits_for_one_at_work_and_is_refused_beside_one_in_the_queue(world: World) -> None:
    async def wait(epoch: int, policy_id: bytes = POLICY_ID, subject: str = OWNER.address) -> bool:
        return await world.attestations.must_wait(subject, epoch, policy_id, "mine")

    async with world.database.transaction() as session:
        payload = {"subject": OWNER.address, "epoch": EPOCH}
        job = await add_job(session, ATTEST_JOB, payload, None, None)
    with pytest.raises(Conflict, match=f"epoch {EPOCH} of this wallet waits"):
        await wait(EPOCH + 1)
    assert not await wait(EPOCH)
    assert not await wait(EPOCH + 1, PROBE_ID)
    assert not await wait(EPOCH + 1, subject=account(2).address)
    assert not await world.attestations.must_wait(OWNER.address, EPOCH + 1, None, job)
    now = datetime.now(UTC)
    async with world.database.transaction() as session:
        await session.execute(update(Job).values(state="running", heartbeat_at=now))
    assert await wait(EPOCH + 1)
    # Its runner is dead: waiting for it could keep it from being taken over.
    async with world.database.transaction() as session:
        await session.execute(update(Job).values(heartbeat_at=now - 2 * LEASE))
    with pytest.raises(Conflict, match="waits"):
        await wait(EPOCH + 1)
    async with world.database.transaction() as session:
        await session.execute(update(Job).values(state="done"))
    assert not await wait(EPOCH + 1)


async def test_a_breach_is_found_in_an_epoch_that_a_later_one_overtook(world: World) -> None:
    await world.prepare(shares=11)
    await world.prepare(later=1)
    await world.attestations.attest(OWNER.address, EPOCH + 1, world.stages.append)
    assert (await world.attest()).state is AttestationState.BREACHED


@pytest.mark.parametrize("shares", [10, -1_000])
async def test_an_attestation_that_the_chain_lost_is_sent_again_with_the_same_proof(world: World, shares: int) -> None:
    await world.prepare(shares)
    first = await world.attest()
    world.contracts.attested.clear()
    world.contracts.latest.clear()
    again = await world.attest()
    assert again == replace(first, tx_hash=tx_of(world.chain))
    assert again.tx_hash != first.tx_hash
    assert (len(world.prover.proved), sends(world.chain, "attest")) == (1, 2)
    assert [event for event, _ in await world.events()].count("var.attested") == 2


async def test_a_kept_proof_whose_anchor_the_chain_lost_is_made_again_with_one_that_stands(world: World) -> None:
    await world.prepare()
    await world.anchor()
    honest = world.chain.answers["VarAttestor", "attest"]
    world.chain.answer("VarAttestor", "attest", _unavailable)
    with pytest.raises(Unavailable):
        await world.attest()
    world.anchors.sizes.pop()
    world.chain.answer("VarAttestor", "attest", honest)
    made = await world.attest()
    assert made.claim is not None
    assert (made.claim.anchor_index, len(world.prover.proved)) == (0, 2)


async def test_returns_that_the_chain_lost_are_no_tampering_and_are_published_again(world: World) -> None:
    await world.prepare()
    world.contracts.matrices.clear()
    with pytest.raises(Conflict, match="not on chain"):
        await world.attest()
    async with world.database.transaction() as session:
        again = await world.returns.publish(session, world.market.days()[20])
    assert isinstance(again, Publication)
    assert again.tx_hash == tx_of(world.chain)
    async with world.database.reading() as session:
        assert await repository.publication(session, again.matrix.universe_id, EPOCH) == again
    assert (await world.attest()).state is AttestationState.ATTESTED


async def test_an_attestation_on_chain_that_is_not_ours_is_never_taken_for_ours(world: World) -> None:
    await world.prepare()
    world.contracts.attested[OWNER.address, EPOCH, POLICY_ID] = b"\x06" * 32
    with pytest.raises(Conflict, match="not kept here"):
        await world.attest()
    assert world.prover.proved == []


async def test_an_evidence_packs_part_holds_exactly_what_the_format_says(world: World) -> None:
    await world.prepare()
    async with world.database.reading() as session:
        assert await world.attestations.pack_part(session, OWNER.pseudonym, EPOCH) is None
    made = await world.attest()
    async with world.database.reading() as session:
        part = await world.attestations.pack_part(session, OWNER.pseudonym, EPOCH)
        assert await world.attestations.pack_part(session, OWNER.pseudonym, EPOCH + 1) is None
    assert part is not None
    assert made.claim is not None
    names = "attestor subject epoch policy_id previous anchor_index position_commitment returns_id returns_cid"
    assert sorted(part) == sorted([*names.split(), "public_inputs", "proof", "tx_hash"])
    assert part["public_inputs"] == [word(value) for value in made.claim.statement]
    assert part["position_commitment"] == part["public_inputs"][1]
    assert part["attestor"] == world.chain.address("VarAttestor")
    assert part["returns_cid"] in world.pinner.files
    assert part["proof"] == "0x" + bytes(range(256)).hex()


def _unavailable(*_arguments: object) -> None:
    raise Unavailable("the RPC does not answer")
