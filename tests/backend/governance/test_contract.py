"""A model's whole way into production, through the real governor, timelock and registry."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3

from backend.adapters.chain.rpc import RpcChain
from backend.adapters.governance.registry import RegistryGovernance
from backend.artifacts.service import ArtifactService
from backend.governance.engine import proposal_answer, proposal_from, propose_arguments, vote_arguments
from backend.governance.service import ModelService
from backend.governance.types import GovernedModel, ProposalState
from backend.kernel.errors import Conflict
from backend.kit.db import Database
from backend.ports.governance import ModelState
from backend.ports.signer import KeyRole
from tests.backend.artifacts.stores import FakeStore
from tests.backend.governance.samples import files
from tests.backend.governance.test_service import SomeKeeper
from tests.fakes import FakeClock, FakeJournal, FakeSigner
from tests.ports.conftest import LocalChain, node

__all__ = ["node"]

TIMELOCK_DELAY = timedelta(days=1)
VOTING_DELAY, VOTING_PERIOD = timedelta(hours=1), timedelta(days=3)
SUPPLY = 10**24


@pytest.fixture(scope="module")
def local(node: str, tmp_path_factory: pytest.TempPathFactory) -> LocalChain:
    """Deploy the DAO: its one holder votes with everything, the registry belongs to the timelock."""
    provider = HTTPProvider(node, exception_retry_configuration=None)
    local = LocalChain(node, tmp_path_factory.mktemp("deployments"), FakeSigner(), Web3(provider))
    operator = Web3.to_checksum_address(local.signer.address(KeyRole.OPERATOR))
    local.rpc("anvil_setBalance", operator, hex(10**20))
    token = local.deploy("RefiToken", local.owner, SUPPLY)
    seconds = int(TIMELOCK_DELAY.total_seconds())
    timelock = local.deploy("RefiTimelock", seconds, [], ["0x" + "00" * 20], local.owner)
    governor = local.deploy("RefiGovernor", token, timelock, 1, local.owner)
    local.deploy("ModelRegistry", timelock, local.owner, [operator])
    local.transact("RefiTimelock", "grantRole", keccak(text="PROPOSER_ROLE"), governor)
    local.transact("RefiToken", "delegate", local.owner)
    # Votes count from the second after they were delegated.
    wait(local, timedelta(0))
    return local


@pytest.fixture
async def chain(local: LocalChain) -> AsyncIterator[RpcChain]:
    made = RpcChain(local.url, local.deployments, local.signer, timeout=timedelta(seconds=10))
    yield made
    await made.close()


def wait(local: LocalChain, time: timedelta) -> None:
    """Let the chain's time pass."""
    local.rpc("evm_increaseTime", int(time.total_seconds()) + 1)
    local.rpc("evm_mine")


async def test_a_model_is_voted_into_production_and_not_a_step_earlier(
    database: Database, local: LocalChain, chain: RpcChain
) -> None:
    journal = FakeJournal()
    artifacts = ArtifactService(FakeStore(), journal, FakeClock())
    service = ModelService(chain, RegistryGovernance(chain), artifacts, SomeKeeper(), journal, FakeClock())

    async def now(model: GovernedModel) -> tuple[ModelState, ProposalState | None]:
        async with database.transaction() as session:
            seen, proposal = await service.refresh(session, model.sha256)
        return seen.state, proposal

    async with database.transaction() as session:
        model = await service.submit(session, files(), "operator")
    assert await now(model) == (ModelState.PROPOSED, None)
    # The voter knows no more than what the service answered.
    proposal = proposal_from(proposal_answer(model.proposal))
    local.transact("RefiGovernor", "propose", *propose_arguments(proposal))
    assert await now(model) == (ModelState.PROPOSED, ProposalState.PENDING)
    wait(local, VOTING_DELAY)
    local.transact("RefiGovernor", "castVote", *vote_arguments(proposal, "for"))
    async with database.transaction() as session:
        with pytest.raises(Conflict, match="active"):
            await service.queue(session, model.sha256, "operator")
    wait(local, VOTING_PERIOD)
    async with database.transaction() as session:
        await service.queue(session, model.sha256, "operator")
    assert await now(model) == (ModelState.PROPOSED, ProposalState.QUEUED)
    async with database.transaction() as session:
        with pytest.raises(Conflict, match="TimelockUnexpectedOperationState"):
            await service.execute(session, model.sha256, "operator")
    wait(local, TIMELOCK_DELAY)
    async with database.transaction() as session:
        await service.execute(session, model.sha256, "operator")
    assert await now(model) == (ModelState.PRODUCTION, ProposalState.EXECUTED)
    assert [event for event in journal.events() if not event.startswith("artifact.")] == [
        "model.proposed",
        "proposal.pending",
        "proposal.queued",
        "proposal.executed",
        "model.production",
    ]
    assert int(journal.records[-2].fields["votes_for"]) > int(journal.records[-2].fields["votes_against"])


async def test_a_submission_whose_answer_was_lost_is_found_in_the_registry(database: Database, chain: RpcChain) -> None:
    given, kept = files(weights=b"other weights"), FakeStore()
    artifacts = ArtifactService(kept, FakeJournal(), FakeClock())
    service = ModelService(chain, RegistryGovernance(chain), artifacts, SomeKeeper(), FakeJournal(), FakeClock())
    lost: list[GovernedModel] = []

    async def submit_and_lose_it() -> None:
        async with database.transaction() as session:
            lost.append(await service.submit(session, given, "operator"))
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await submit_and_lose_it()
    async with database.transaction() as session:
        found = await service.submit(session, given, "operator")
    assert found == lost[0]
