"""A model's whole way on a real chain: registered, voted for, in production, trading, and revoked within a block."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3.exceptions import ContractCustomError

from backend.accounts.types import Caller, Role
from backend.adapters.chain.rpc import RpcChain
from backend.adapters.governance.contracts import ContractBook
from backend.adapters.governance.registry import RegistryGovernance
from backend.adapters.governance.votes import GovernorVotes
from backend.adapters.policy.engine import EnginePolicy
from backend.artifacts.service import ArtifactService
from backend.compliance.service import ComplianceGate
from backend.compliance.types import ClearedDecision
from backend.decisions.types import Decision
from backend.governance.service import ModelService, ProposalService
from backend.governance.types import Act, CallSpec, GovernedModel, Proposal, ProposalState, Unsigned
from backend.kernel.errors import Conflict, Invalid
from backend.kernel.refusal import Refused
from backend.kit.db import Database
from backend.ports.chain import Reverted
from backend.ports.governance import ModelState
from backend.ports.policy import OrderCheck, Verdict
from backend.ports.signer import KeyRole
from tests.backend.artifacts.stores import FakeStore
from tests.backend.governance.dao_chain import (
    EXTENSION,
    SHARE,
    SUPPLY,
    TIMELOCK_DELAY,
    VOTING_DELAY,
    VOTING_PERIOD,
    Dao,
    deployed,
)
from tests.backend.governance.samples import files
from tests.backend.governance.test_service import SomeKeeper
from tests.fakes import FIRST_DAY, FakeClock, FakeJournal
from tests.ports.conftest import CHAIN_ID, node

__all__ = ["node"]

TIMEOUT = timedelta(seconds=10)
RELAY = "0x" + "aa" * 20


@dataclass(frozen=True, slots=True)
class Room:
    """The platform's services on the DAO's chain."""

    dao: Dao
    database: Database
    chain: RpcChain
    models: ModelService
    proposals: ProposalService
    gate: ComplianceGate
    policy: EnginePolicy
    journal: FakeJournal

    async def step(self, wallet: str, act: Act) -> None:
        """Let a wallet sign a step that the platform wrote."""
        self.dao.send(wallet, await self.proposals.unsigned(act, self.dao.address(wallet)))

    async def submit(self, **changed: bytes) -> GovernedModel:
        """Submit a model in the whale's name."""
        async with self.database.transaction() as session:
            return await self.models.submit(session, files(**changed), "operator", self.dao.address("whale"))

    async def vote_in(self, number: int) -> None:
        """Vote for a proposal that was made, queue it and wait."""
        self.dao.wait(VOTING_DELAY)
        await self.step("whale", self.proposals.vote(number, "for", "it did well out of sample"))
        self.dao.wait(VOTING_PERIOD)
        await self.step("stranger", await self.proposals.queue(number))
        self.dao.wait(TIMELOCK_DELAY)

    async def on_chain(self, sha256: str) -> Verdict:
        """Ask the on-chain rules for a live order of a model."""
        return await self.policy.check(OrderCheck(self.dao.address("trader"), "AAPL", Decimal(100), sha256))

    async def at_the_gate(self, sha256: str) -> ClearedDecision | Refused:
        """Ask the platform's gate for a live order of a model."""
        caller = Caller(1, self.dao.address("trader"), "pseudonym", frozenset({Role.TRADER}))
        async with self.database.transaction() as session:
            return await self.gate.clear(session, decision(sha256), caller)


def decision(sha256: str) -> Decision:
    """Return what a model decided."""
    return Decision(
        decision_id="1",
        account="pseudonym",
        kind="agent",
        instrument="AAPL",
        side="buy",
        quantity=Decimal(1),
        model_sha256=sha256,
        features=(),
        features_sha256="",
        q_values=(),
        action="buy",
        decided_at=FIRST_DAY,
    )


@pytest.fixture(scope="module")
def dao(node: str, tmp_path_factory: pytest.TempPathFactory) -> Dao:
    """Deploy once; each test makes proposals of its own."""
    return deployed(node, tmp_path_factory.mktemp("deployments"))


@pytest.fixture
async def room(dao: Dao, database: Database) -> AsyncIterator[Room]:
    folder, journal, clock = dao.local.deployments, FakeJournal(), FakeClock()
    chain = RpcChain(dao.local.url, folder, dao.local.signer, timeout=TIMEOUT)
    votes = GovernorVotes(dao.local.url, folder, timeout=TIMEOUT)
    registry, policy = RegistryGovernance(chain), EnginePolicy(chain, RELAY)
    artifacts = ArtifactService(FakeStore(), journal, clock)
    models = ModelService(chain, registry, artifacts, SomeKeeper(), journal, clock)
    proposals = ProposalService(chain, ContractBook(folder), votes, journal)
    gate = ComplianceGate(policy, registry, lambda _: Decimal(100), clock)
    made = Room(dao, database, chain, models, proposals, gate, policy, journal)
    for name in ("whale", "second"):
        if not (await proposals.power(dao.address(name))).votes:
            await made.step(name, proposals.delegate(dao.address(name)))
    # Votes count from the second after they were delegated.
    dao.wait(timedelta(0))
    yield made
    await votes.close()
    await chain.close()


async def test_a_model_trades_when_the_dao_has_voted_for_it_and_until_the_guardian_revokes_it(room: Room) -> None:
    model = await room.submit()
    refused = await room.at_the_gate(model.sha256)
    assert isinstance(refused, Refused)
    assert refused.rule == "model_not_in_production"
    verdict = await room.on_chain(model.sha256)
    assert (verdict.allowed, verdict.policy) == (False, "ApprovedModelPolicy")

    await room.step("whale", room.proposals.propose(model.proposal))
    pending = await room.proposals.shown(model.proposal_id)
    assert (pending.state, pending.text.matches, pending.warnings) == (ProposalState.PENDING, True, ())
    await room.vote_in(model.proposal_id)
    waiting = await room.proposals.shown(model.proposal_id)
    assert waiting.state is ProposalState.QUEUED
    assert waiting.timing.timelock_percent == 100
    assert waiting.tally.for_ == SHARE
    assert waiting.tally.is_quorum_reached
    assert [(vote.voter, vote.support, vote.reason) for vote in waiting.ballots] == [
        (room.dao.address("whale"), 1, "it did well out of sample")
    ]
    assert not (await room.on_chain(model.sha256)).allowed, "not before it is executed"
    await room.step("stranger", await room.proposals.execute(model.proposal_id))

    assert isinstance(await room.at_the_gate(model.sha256), ClearedDecision)
    allowed = await room.on_chain(model.sha256)
    assert allowed.allowed

    async with room.database.transaction() as session:
        receipt = await room.models.revoke(session, model.sha256, "operator")
    assert receipt.block_number == allowed.block_number + 1
    next_verdict = await room.on_chain(model.sha256)
    assert next_verdict.block_number == receipt.block_number, "refused in the very block of the revocation"
    assert (next_verdict.allowed, next_verdict.policy) == (False, "ApprovedModelPolicy")
    stopped = await room.at_the_gate(model.sha256)
    assert isinstance(stopped, Refused)
    assert stopped.reason == "the model is in state revoked"
    assert room.journal.events()[-1] == "model.revoked"


async def test_nobody_approves_a_model_without_a_vote(room: Room) -> None:
    model = await room.submit(weights=b"approved by hand")
    digest = bytes.fromhex(model.sha256)
    for step in ("approve", "promote"):
        with pytest.raises(Reverted, match="OwnableUnauthorizedAccount"):
            await room.chain.send(KeyRole.OPERATOR, "ModelRegistry", step, digest)
        with pytest.raises(ContractCustomError):
            room.dao.local.transact("ModelRegistry", step, digest)
    assert (await room.models.on_chain(model)).state is ModelState.PROPOSED


async def test_only_the_named_proposer_sends_a_proposal_and_nobody_cancels_it_by_being_first(room: Room) -> None:
    model = await room.submit(weights=b"front-run")
    act = room.proposals.propose(model.proposal)
    with pytest.raises(Reverted, match="GovernorRestrictedProposer"):
        await room.proposals.unsigned(act, room.dao.address("second"))
    await room.step("whale", act)
    with pytest.raises(Reverted, match="GovernorUnableToCancel"):
        await room.proposals.unsigned(await room.proposals.cancel(model.proposal_id), room.dao.address("second"))


async def test_a_cancelled_promotion_is_asked_for_again_under_another_number(room: Room) -> None:
    model = await room.submit(weights=b"cancelled")
    await room.step("whale", room.proposals.propose(model.proposal))
    async with room.database.transaction() as session:
        await room.proposals.send(session, await room.proposals.cancel(model.proposal_id), "operator")
    assert (await room.proposals.shown(model.proposal_id)).state is ProposalState.CANCELED
    again = await room.submit(weights=b"cancelled")
    assert again.proposal_id != model.proposal_id
    await room.step("whale", room.proposals.propose(again.proposal))
    assert (await room.proposals.shown(again.proposal_id)).text.matches is True
    assert room.journal.events()[-2:] == ["governance.cancelled", "model.proposed_again"]


async def test_a_payload_that_is_not_what_its_text_says_is_shown_and_marked(room: Room) -> None:
    honest, other = await room.submit(weights=b"honest"), await room.submit(weights=b"other")
    forged = Proposal(
        honest.proposal.governor,
        honest.proposal.targets,
        honest.proposal.values,
        other.proposal.calldatas,
        honest.proposal.description,
    )
    await room.step("whale", room.proposals.propose(forged))
    shown = (await room.proposals.listed(1))[0]
    assert shown.text.matches is False
    assert any(f"the text promotes model {honest.sha256}" in reason for reason in shown.text.reasons)
    assert any(other.sha256 in reason for reason in shown.warnings)
    assert [call.decoded.arguments[0].value for call in shown.calls if call.decoded] == ["0x" + other.sha256] * 2


async def test_what_no_abi_knows_is_shown_as_it_is_with_a_warning(room: Room) -> None:
    target, token = "0x" + "de" * 20, room.chain.address("RefiToken")
    specs = [CallSpec(target, data="0xdeadbeef", value=7), CallSpec(token, data="0x12345678")]
    built = room.proposals.build(specs, "Something that nobody can read", room.dao.address("whale"))
    await room.step("whale", room.proposals.propose(built))
    shown = (await room.proposals.listed(1))[0]
    assert [call.decoded for call in shown.calls] == [None, None]
    assert [call.call.data.hex() for call in shown.calls] == ["deadbeef", "12345678"]
    assert f"call 1: not decoded: {target} is no contract of ours" in shown.warnings
    assert "call 1: sends 7 wei" in shown.warnings
    assert "call 2: not decoded: RefiToken has no function that this data calls" in shown.warnings
    assert shown.text.matches is None, "the text names nothing but bytes"


async def test_a_text_that_is_no_text_hides_no_proposal(room: Room) -> None:
    timelock, whale = room.chain.address("RefiTimelock"), room.dao.address("whale")
    arguments = [[timelock], [0], [room.chain.calldata("RefiTimelock", "updateDelay", 1)], b"A \xff\xe2\x80\xaetext"]
    # Bytes have a string's layout, and nothing on chain looks at what is in a string.
    selector = bytes(keccak(text="propose(address[],uint256[],bytes[],string)"))[:4]
    data = selector + encode(["address[]", "uint256[]", "bytes[]", "bytes"], arguments)
    room.dao.send("whale", Unsigned(room.chain.address("RefiGovernor"), data, 0, CHAIN_ID, whale, 400_000))
    shown = (await room.proposals.listed(1))[0]
    assert shown.description == "A \ufffd\u202etext"
    assert "the text holds characters that do not show: U+202E, U+DCFF" in shown.warnings
    assert shown.text.matches is False
    assert [call.decoded.function for call in shown.calls if call.decoded] == ["updateDelay"]
    # Its hash is that of the bytes: the guardian can still end it.
    async with room.database.transaction() as session:
        await room.proposals.send(session, await room.proposals.cancel(shown.made.number), "operator")


async def test_a_late_quorum_shows_as_an_extended_vote(room: Room) -> None:
    model = await room.submit(weights=b"late")
    await room.step("whale", room.proposals.propose(model.proposal))
    room.dao.wait(VOTING_DELAY)
    room.dao.wait(VOTING_PERIOD - timedelta(minutes=1))
    before = await room.proposals.shown(model.proposal_id)
    assert (before.state, before.timing.is_extended) == (ProposalState.ACTIVE, False)
    await room.step("whale", room.proposals.vote(model.proposal_id, "abstain"))
    after = await room.proposals.shown(model.proposal_id)
    assert after.timing.is_extended
    assert after.timing.closes_at - before.timing.closes_at <= EXTENSION.total_seconds()
    assert after.tally.needed == SUPPLY * 4 // 100


async def test_the_parameters_and_a_wallets_power_are_the_chains(room: Room) -> None:
    found = await room.proposals.parameters()
    assert found.clock_mode == "mode=timestamp"
    assert (found.voting_delay, found.voting_period) == (3_600, 3 * 86_400)
    assert found.guardian == found.registry_guardian == room.dao.local.signer.address(KeyRole.OPERATOR)
    assert found.quorum == SUPPLY * 4 // 100
    whale, stranger = [await room.proposals.power(room.dao.address(name)) for name in ("whale", "stranger")]
    assert (whale.votes, whale.is_able_to_propose) == (SHARE, True)
    assert (stranger.votes, stranger.is_able_to_propose) == (0, False)


async def test_a_step_that_the_chain_would_refuse_is_refused_before_it_is_signed(room: Room) -> None:
    model = await room.submit(weights=b"too early")
    with pytest.raises(Reverted, match="GovernorRestrictedProposer"):
        await room.proposals.unsigned(room.proposals.propose(model.proposal), room.dao.address("stranger"))
    await room.step("whale", room.proposals.propose(model.proposal))
    with pytest.raises(Conflict, match="GovernorUnexpectedProposalState"):
        await room.proposals.unsigned(await room.proposals.queue(model.proposal_id), room.dao.address("whale"))
    with pytest.raises(Invalid, match="against, for, abstain"):
        room.proposals.vote(model.proposal_id, "perhaps")
