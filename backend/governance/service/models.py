"""Publish a model, put it before the DAO, and follow what the DAO decides."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from backend.artifacts.service import ArtifactService
from backend.governance import repository
from backend.governance.engine import described, model_files, promotion, proposal_id, settle_arguments
from backend.governance.types import GovernedModel, ModelCids, ModelFiles, Proposal, ProposalState
from backend.kernel.errors import Conflict, NotFound
from backend.kit.db import Database
from backend.ports.chain import Chain, Receipt, Reverted
from backend.ports.clock import Clock
from backend.ports.governance import Governance, ModelState
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.signer import KeyRole

POLICY = "governance:1"
REGISTRY = "ModelRegistry"
GOVERNOR = "RefiGovernor"
# A proposal in one of these states stays there, and its text and calls can never be proposed again.
OVER = (ProposalState.CANCELED, ProposalState.DEFEATED, ProposalState.EXPIRED)


class Keeper(Protocol):
    """Keeps the files that decisions are computed from."""

    def add_files(self, files: Mapping[str, bytes]) -> str:
        """Return the model's hash; raise Invalid for files that make no working model."""
        ...


class ModelService:
    """Models on their way into production: only the DAO's vote gets them there."""

    def __init__(
        self,
        chain: Chain,
        governance: Governance,
        artifacts: ArtifactService,
        store: Keeper,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._chain = chain
        self._store = store
        self._governance = governance
        self._artifacts = artifacts
        self._journal = journal
        self._clock = clock

    async def submit(
        self, session: AsyncSession, files: Mapping[str, bytes], actor: str, proposer: str = ""
    ) -> GovernedModel:
        """Pin a model's files, propose it in the registry and return it with the proposal that a voter signs.

        Where a proposer is named nobody else can send the proposal, and by that cancel it.
        """
        model = model_files(files)
        self._store.add_files(files)
        known = await repository.by_sha256(session, model.sha256)
        if known is not None:
            return await self.ask_again(session, known, actor, proposer)
        cids = await self._pinned(session, model)
        tx_hash = await self._proposed(model, cids)
        proposal = self._promotion(model.sha256, cids, 1, proposer)
        added = await repository.add(
            session,
            model.sha256,
            model.feature_schema_sha256,
            cids,
            proposal,
            ModelState.PROPOSED,
            self._clock.wall(),
        )
        if added:
            fields = {
                "torchscript_cid": cids.torchscript,
                "card_cid": cids.card,
                "report_cid": cids.report,
                "feature_schema_sha256": model.feature_schema_sha256,
                "proposal_id": str(proposal_id(proposal)),
                "tx_hash": tx_hash,
            }
            await self._record(session, model.sha256, "model.proposed", fields, actor)
        return await self.find(session, model.sha256)

    async def ask_again(self, session: AsyncSession, model: GovernedModel, actor: str, proposer: str) -> GovernedModel:
        """Return a model with a proposal that can be sent: a new one where the last was cancelled, lost or expired.

        A proposal that nobody sent is replaced where another proposer is named than its text says.
        """
        state = await self.proposal_state(model)
        retired = (await self._governance.model_state(model.sha256)) is ModelState.RETIRED
        is_over = state in OVER or (retired and state is ProposalState.EXECUTED)
        is_bound = not proposer or described("", proposer) in model.proposal.description
        if not is_over and (state is not None or is_bound):
            return model
        attempt = await repository.next_attempt(session, model.sha256)
        proposal = self._promotion(model.sha256, model.cids, attempt, proposer, retired=retired)
        await repository.replace_proposal(session, model.sha256, proposal)
        fields = {"proposal_id": str(proposal_id(proposal)), "torchscript_cid": model.cids.torchscript}
        await self._record(session, model.sha256, "model.proposed_again", fields, actor)
        return await self.find(session, model.sha256)

    async def revoke(self, session: AsyncSession, sha256: str, actor: str) -> Receipt:
        """Take a model out of production at once with the guardian's key, and record it; Reverted without that role.

        The on-chain rule refuses it from the next block on, and the gate, which reads the same registry.
        """
        digest = bytes.fromhex(sha256)
        receipt = await self._chain.send(KeyRole.OPERATOR, REGISTRY, "revoke", digest)
        if await repository.by_sha256(session, sha256) is not None:
            await self.refresh(session, sha256, actor)
        else:
            cid = str((await self._chain.call(REGISTRY, "modelOf", digest))[3])
            fields = {"proposal_id": "", "torchscript_cid": cid}
            await self._record(session, sha256, "model.revoked", fields, actor)
        return receipt

    async def find(self, session: AsyncSession, sha256: str) -> GovernedModel:
        """Return a model as it was last seen; raise NotFound."""
        model = await repository.by_sha256(session, sha256)
        if model is None:
            raise NotFound("no such model")
        return model

    async def newest(self, session: AsyncSession) -> Sequence[GovernedModel]:
        """Return models newest first."""
        return await repository.newest(session)

    async def on_chain(self, model: GovernedModel) -> GovernedModel:
        """Return a model with its state on chain now."""
        return replace(model, state=await self._governance.model_state(model.sha256))

    async def track(self, session: AsyncSession, number: int) -> tuple[GovernedModel, ProposalState | None]:
        """Return the model of a proposal and how the proposal stands, None until a voter has sent it."""
        model = await repository.by_proposal(session, number)
        if model is None:
            raise NotFound("no such proposal")
        return model, await self.proposal_state(model)

    async def proposal_state(self, model: GovernedModel) -> ProposalState | None:
        """Return how a model's proposal stands, None until a voter has sent it."""
        try:
            return ProposalState(await self._chain.call(GOVERNOR, "state", model.proposal_id))
        except Reverted as error:
            if error.name != "GovernorNonexistentProposal":
                raise
            return None

    async def refresh(
        self, session: AsyncSession, sha256: str, actor: str = SYSTEM_ACCOUNT
    ) -> tuple[GovernedModel, ProposalState | None]:
        """Read a model's and its proposal's state from the chain, record what changed, and return both."""
        model = await self.on_chain(await self.find(session, sha256))
        proposal = await self.proposal_state(model)
        votes = await self._votes(model, proposal)
        model_moved, proposal_moved = await repository.move(session, sha256, model.state, proposal)
        fields = {"proposal_id": str(model.proposal_id), "torchscript_cid": model.cids.torchscript}
        if proposal_moved and proposal is not None:
            await self._record(session, sha256, f"proposal.{proposal.name.lower()}", {**fields, **votes}, actor)
        if model_moved:
            await self._record(session, sha256, f"model.{model.state.name.lower()}", fields, actor)
        return model, proposal

    async def follow(self, database: Database) -> int:
        """Look at every model that the chain may still move and record what changed; return how many changed."""
        async with database.reading() as session:
            hashes = await repository.unsettled(session)
        moved = 0
        for sha256 in hashes:
            async with database.reading() as session:
                known, before = await self.find(session, sha256), await repository.seen(session, sha256)
            found, proposal = await self.on_chain(known), await self.proposal_state(known)
            # Only a change takes the write lock.
            if before != (found.state.name.lower(), "" if proposal is None else proposal.name.lower()):
                async with database.transaction() as session:
                    await self.refresh(session, sha256)
                moved += 1
        return moved

    async def _votes(self, model: GovernedModel, proposal: ProposalState | None) -> Mapping[str, str]:
        """Return the tally of a proposal, in votes with 18 decimals."""
        if proposal is None:
            return {}
        tally = await self._chain.call(GOVERNOR, "proposalVotes", model.proposal_id)
        return dict(zip(("votes_against", "votes_for", "votes_abstain"), map(str, tally), strict=True))

    async def queue(self, session: AsyncSession, sha256: str, actor: str) -> Receipt:
        """Relay a successful proposal into the timelock, which anyone may do, and record that it waits there."""
        model = await self.find(session, sha256)
        await self._require(model, ProposalState.SUCCEEDED)
        receipt = await self._chain.send(KeyRole.OPERATOR, GOVERNOR, "queue", *settle_arguments(model.proposal))
        await self.refresh(session, sha256, actor)
        return receipt

    async def execute(self, session: AsyncSession, sha256: str, actor: str) -> Receipt:
        """Relay a proposal out of the timelock once it has waited, which anyone may do, and record the new state."""
        model = await self.find(session, sha256)
        await self._require(model, ProposalState.QUEUED)
        receipt = await self._chain.send(KeyRole.OPERATOR, GOVERNOR, "execute", *settle_arguments(model.proposal))
        await self.refresh(session, sha256, actor)
        return receipt

    async def _pinned(self, session: AsyncSession, model: ModelFiles) -> ModelCids:
        async def pin(kind: str, content: bytes) -> str:
            return (await self._artifacts.pin(session, kind, content)).cid

        return ModelCids(
            weights=await pin("model.weights", model.weights),
            description=await pin("model.description", model.description),
            torchscript=await pin("model.torchscript", model.torchscript),
            card=await pin("model.card", model.card),
            report=await pin("model.report", model.report),
        )

    async def _proposed(self, model: ModelFiles, cids: ModelCids) -> str:
        digest = bytes.fromhex(model.sha256)
        if await self._governance.model_state(model.sha256) is ModelState.NONE:
            arguments = (digest, cids.torchscript, bytes.fromhex(model.feature_schema_sha256), cids.report)
            return (await self._chain.send(KeyRole.OPERATOR, REGISTRY, "propose", *arguments)).tx_hash
        # An earlier submission got as far as the chain: it must have been this one.
        on_chain = await self._chain.call(REGISTRY, "modelOf", digest)
        if tuple(on_chain[2:]) != (bytes.fromhex(model.feature_schema_sha256), cids.torchscript, cids.report):
            raise Conflict("the registry knows this model with other files")
        events = await self._chain.events(REGISTRY, "ModelProposed", filters={"modelHash": digest})
        return str(events[0]["tx_hash"]) if events else ""

    def _promotion(
        self, sha256: str, cids: ModelCids, attempt: int, proposer: str, *, retired: bool = False
    ) -> Proposal:
        digest = bytes.fromhex(sha256)
        steps = ("promote",) if retired else ("approve", "promote")
        calls = [self._chain.calldata(REGISTRY, step, digest) for step in steps]
        governor, registry = self._chain.address(GOVERNOR), self._chain.address(REGISTRY)
        return promotion(governor, registry, calls, sha256, cids, attempt=attempt, proposer=proposer)

    async def _require(self, model: GovernedModel, wanted: ProposalState) -> None:
        found = await self.proposal_state(model)
        if found is not wanted:
            raise Conflict(f"the proposal is {found.name.lower() if found is not None else 'not sent yet'}")

    async def _record(
        self, session: AsyncSession, sha256: str, event: str, fields: Mapping[str, str], actor: str
    ) -> None:
        whole = {"model": sha256, **fields}
        await self._journal.record(session, SYSTEM_ACCOUNT, event, whole, actor=actor, policy=POLICY)
