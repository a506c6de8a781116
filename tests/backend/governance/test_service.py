"""A model gets into production by the DAO's vote, and every step is on record."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from backend.accounts.endpoints import signed_in
from backend.accounts.types import Caller, Role
from backend.artifacts.service import ArtifactService
from backend.governance.endpoints import router
from backend.governance.engine import proposal_answer, settle_arguments
from backend.governance.service import ModelService
from backend.governance.types import GovernedModel, ProposalState
from backend.kernel.cid import file_cid
from backend.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from backend.kit.db import Database
from backend.ports.chain import Reverted
from backend.ports.governance import ModelState
from backend.ports.signer import KeyRole
from tests.backend.artifacts.stores import FakeStore
from tests.backend.governance.samples import files
from tests.fakes import FakeChain, FakeClock, FakeJournal, client_of, serve

OPERATOR = Caller(1, "0x" + "11" * 20, "operator-pseudonym", frozenset({Role.TRADER, Role.OPERATOR}))
TRADER = Caller(2, "0x" + "22" * 20, "trader-pseudonym", frozenset({Role.TRADER}))


WAY_INTO_PRODUCTION = ["model.proposed", "proposal.queued", "proposal.executed", "model.production"]


class Registry:
    """ModelRegistry and RefiGovernor as far as one model is concerned."""

    def __init__(self, chain: FakeChain) -> None:
        self.models: dict[bytes, list[Any]] = {}
        self.proposal: ProposalState | None = None
        self._chain = chain
        chain.answer("ModelRegistry", "propose", self._propose)
        chain.answer("ModelRegistry", "modelOf", lambda digest: tuple(self.models[digest]))
        chain.answer("RefiGovernor", "state", self._state)
        chain.answer("RefiGovernor", "proposalVotes", lambda _number: (0, 10**18, 0))
        chain.answer("RefiGovernor", "queue", lambda *_: self._settle(ProposalState.QUEUED))
        chain.answer("RefiGovernor", "execute", lambda *_: self._settle(ProposalState.EXECUTED))

    async def model_state(self, model_sha256: str) -> ModelState:
        """Return a model's state."""
        if self._chain.down:
            raise Unavailable("the RPC does not answer")
        found = self.models.get(bytes.fromhex(model_sha256))
        return ModelState(found[0]) if found else ModelState.NONE

    def _propose(self, digest: bytes, torchscript: str, schema: bytes, report: str) -> None:
        if digest in self.models:
            raise Reverted("WrongState", (digest, 1))
        self.models[digest] = [ModelState.PROPOSED, "0x" + "aa" * 20, schema, torchscript, report]
        self._chain.emit("ModelRegistry", "ModelProposed", modelHash=digest)

    def _state(self, number: int) -> int:
        if self.proposal is None:
            raise Reverted("GovernorNonexistentProposal", (number,))
        return int(self.proposal)

    def _settle(self, state: ProposalState) -> None:
        self.proposal = state
        if state is ProposalState.EXECUTED:
            for model in self.models.values():
                model[0] = ModelState.PRODUCTION


class SomeKeeper:
    """Remembers what it was given; can find that it makes no model."""

    def __init__(self) -> None:
        self.kept: list[Mapping[str, bytes]] = []
        self.broken = False

    def add_files(self, files: Mapping[str, bytes]) -> str:
        """Keep files."""
        if self.broken:
            raise Invalid("the weights do not fit the architecture")
        self.kept.append(files)
        return ""


class World:
    """A service between a chain, a store and a log."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.chain = FakeChain()
        self.registry = Registry(self.chain)
        self.store = FakeStore()
        self.keeper = SomeKeeper()
        self.journal = FakeJournal()
        self.artifacts = ArtifactService(self.store, self.journal, FakeClock())
        self.service = ModelService(self.chain, self.registry, self.artifacts, self.keeper, self.journal, FakeClock())

    async def submit(self, **changed: bytes) -> GovernedModel:
        """Submit the sample model."""
        async with self.database.transaction() as session:
            return await self.service.submit(session, files(**changed), "operator-pseudonym")

    def model_events(self) -> list[str]:
        """Return what was logged about models."""
        return [event for event in self.journal.events() if event.startswith(("model.", "proposal."))]


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def test_a_submission_pins_every_file_and_proposes_the_model_on_chain(world: World) -> None:
    model = await world.submit()
    assert world.journal.records[-1].actor == "operator-pseudonym"
    await world.artifacts.retry_pending(world.database)
    assert {file_cid(content) for content in files().values()} == world.store.pins
    role, contract, function, arguments = world.chain.sent[0]
    assert (role, contract, function) == (KeyRole.OPERATOR, "ModelRegistry", "propose")
    assert arguments[0] == bytes.fromhex(model.sha256)
    assert arguments[1] == file_cid(b"scripted")
    assert arguments[3] == file_cid(files()["report.json"])
    assert model.state is ModelState.PROPOSED
    assert world.model_events() == ["model.proposed"]


async def test_the_proposal_approves_and_promotes_this_model(world: World) -> None:
    model = await world.submit()
    digest = bytes.fromhex(model.sha256)
    calls = tuple(world.chain.calldata("ModelRegistry", step, digest) for step in ("approve", "promote"))
    assert model.proposal.calldatas == calls
    assert [target.lower() for target in model.proposal.targets] == [world.chain.address("ModelRegistry")] * 2
    assert model.proposal.governor.lower() == world.chain.address("RefiGovernor")


async def test_submitting_again_changes_nothing(world: World) -> None:
    assert await world.submit() == await world.submit()
    assert len(world.chain.sent) == 1
    assert world.model_events() == ["model.proposed"]


async def test_a_lost_receipt_is_made_good_by_submitting_again(world: World) -> None:
    world.chain.lose_receipts = 1
    with pytest.raises(Unavailable):
        await world.submit()
    assert world.model_events() == []
    assert (await world.submit()).state is ModelState.PROPOSED
    assert len(world.chain.sent) == 1
    assert world.model_events() == ["model.proposed"]


async def test_a_model_that_is_on_chain_with_other_files_is_refused(world: World) -> None:
    world.chain.lose_receipts = 1
    with pytest.raises(Unavailable):
        await world.submit()
    with pytest.raises(Conflict, match="other files"):
        await world.submit(torchscript=b"exported again")


async def test_files_that_make_no_working_model_are_never_published(world: World) -> None:
    world.keeper.broken = True
    with pytest.raises(Invalid, match="do not fit"):
        await world.submit()
    await world.artifacts.retry_pending(world.database)
    assert world.store.pins == set()
    assert world.chain.sent == []


async def test_a_submitted_model_is_kept_for_decisions(world: World) -> None:
    await world.submit()
    assert world.keeper.kept == [files()]


async def test_a_store_that_is_down_does_not_keep_a_model_from_being_proposed(world: World) -> None:
    world.store.down = True
    assert (await world.submit()).cids.torchscript == file_cid(b"scripted")


async def test_a_chain_that_is_down_keeps_everything_out(world: World) -> None:
    world.chain.down = True
    with pytest.raises(Unavailable):
        await world.submit()
    async with world.database.reading() as session:
        assert await world.service.newest(session) == []


async def test_nothing_is_queued_before_the_vote_succeeds_or_executed_before_it_waited(world: World) -> None:
    sha256 = (await world.submit()).sha256
    async with world.database.transaction() as session:
        with pytest.raises(Conflict, match="not sent yet"):
            await world.service.queue(session, sha256, "operator")
        world.registry.proposal = ProposalState.ACTIVE
        with pytest.raises(Conflict, match="active"):
            await world.service.queue(session, sha256, "operator")
        world.registry.proposal = ProposalState.SUCCEEDED
        with pytest.raises(Conflict, match="succeeded"):
            await world.service.execute(session, sha256, "operator")
    assert len(world.chain.sent) == 1


async def test_the_way_into_production_is_recorded_once(world: World) -> None:
    model = await world.submit()
    world.registry.proposal = ProposalState.SUCCEEDED
    async with world.database.transaction() as session:
        await world.service.queue(session, model.sha256, "operator")
        assert await world.service.track(session, model.proposal_id) == (model, ProposalState.QUEUED)
        await world.service.execute(session, model.sha256, "operator")
        seen, proposal = await world.service.refresh(session, model.sha256)
    assert (seen.state, proposal) == (ModelState.PRODUCTION, ProposalState.EXECUTED)
    assert world.chain.sent[-1][3] == settle_arguments(model.proposal)
    assert world.model_events() == WAY_INTO_PRODUCTION


async def test_a_revocation_on_chain_is_seen_and_recorded(world: World) -> None:
    model = await world.submit()
    world.registry.models[bytes.fromhex(model.sha256)][0] = ModelState.REVOKED
    async with world.database.transaction() as session:
        await world.service.refresh(session, model.sha256)
    assert world.model_events() == ["model.proposed", "model.revoked"]


async def test_what_the_dao_does_is_followed_without_being_asked(world: World) -> None:
    model = await world.submit()
    assert await world.service.follow(world.database) == 0
    for state in (ProposalState.ACTIVE, ProposalState.ACTIVE, ProposalState.DEFEATED):
        world.registry.proposal = state
        await world.service.follow(world.database)
    assert world.model_events() == ["model.proposed", "proposal.active", "proposal.defeated"]
    assert world.journal.records[-1].fields["votes_for"] == str(10**18)
    world.registry.models[bytes.fromhex(model.sha256)][0] = ModelState.REVOKED
    assert await world.service.follow(world.database) == 1
    world.registry.proposal = ProposalState.EXPIRED
    assert await world.service.follow(world.database) == 0, "nothing moves a revoked model"
    assert world.model_events()[-1] == "model.revoked"


async def test_unknown_models_and_proposals_are_not_found(world: World) -> None:
    async with world.database.reading() as session:
        with pytest.raises(NotFound):
            await world.service.find(session, "00" * 32)
        with pytest.raises(NotFound):
            await world.service.track(session, 7)


async def test_an_operator_submits_over_http_and_gets_what_a_wallet_signs(world: World) -> None:
    app = serve({ModelService: world.service, Database: world.database}, router)
    app.dependency_overrides[signed_in] = lambda: OPERATOR
    body = {"files": {name: base64.b64encode(content).decode() for name, content in files().items()}}
    async with client_of(app) as client:
        made = await client.post("/governance/models", json=body)
        sha256 = made.json()["sha256"]
        world.registry.models[bytes.fromhex(sha256)][0] = ModelState.APPROVED
        shown = (await client.get(f"/governance/models/{sha256}")).json()
        listed = (await client.get("/governance/models")).json()
        world.registry.proposal = ProposalState.SUCCEEDED
        queued = await client.post(f"/governance/models/{sha256}/queue")
        executed = await client.post(f"/governance/models/{sha256}/execute")
    async with world.database.reading() as session:
        model = await world.service.find(session, sha256)
    assert made.status_code == 201
    assert made.json()["proposal"] == proposal_answer(model.proposal)
    assert made.json()["torchscript_cid"] == file_cid(b"scripted")
    assert (shown["state"], shown["proposal_state"]) == ("approved", None)
    assert [item["sha256"] for item in listed["items"]] == [sha256]
    assert (queued.status_code, executed.status_code) == (200, 200)
    assert world.model_events() == [*WAY_INTO_PRODUCTION[:2], "model.approved", *WAY_INTO_PRODUCTION[2:]]


async def test_nobody_but_an_operator_submits_or_relays(world: World) -> None:
    app = serve({ModelService: world.service, Database: world.database}, router)
    app.dependency_overrides[signed_in] = lambda: TRADER
    async with client_of(app) as client:
        assert (await client.post("/governance/models", json={"files": {}})).status_code == 403
        assert (await client.post(f"/governance/models/{'00' * 32}/queue")).status_code == 403
        assert (await client.post(f"/governance/models/{'00' * 32}/execute")).status_code == 403
    assert world.chain.sent == []


async def test_what_is_not_base64_or_not_a_model_is_invalid(world: World) -> None:
    app = serve({ModelService: world.service, Database: world.database}, router)
    app.dependency_overrides[signed_in] = lambda: OPERATOR
    async with client_of(app) as client:
        assert (await client.post("/governance/models", json={"files": {"model.ts": "?"}})).status_code == 422
        assert (await client.post("/governance/models", json={"files": {"model.ts": "eA=="}})).status_code == 422
        assert (await client.get("/governance/models/xyz")).status_code == 422
        assert (await client.get(f"/governance/models/{'00' * 32}")).status_code == 404
