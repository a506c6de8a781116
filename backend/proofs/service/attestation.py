"""Prove that committed positions keep a policy's limit, and have the chain say so."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.canonical import canonical_json, decimal_string
from backend.kernel.errors import Conflict, NotFound, Tampered, Unavailable
from backend.kit.db import Database
from backend.kit.queue import open_jobs
from backend.ports.chain import Chain, Reverted
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.prover import NoProof, Progress, Prover
from backend.ports.signer import KeyRole
from backend.proofs import repository
from backend.proofs.engine.circuit import require_circuit, shape_of
from backend.proofs.engine.claim import attestation_id, build_claim, context
from backend.proofs.engine.kept import (
    Attestation,
    AttestationState,
    ClosedEpoch,
    Link,
    PolicyTerms,
    ProvedClaim,
    Publication,
    pack_section,
    unword,
    word,
)
from backend.proofs.engine.returns import unpack_returns
from backend.proofs.service.anchored import Anchors, MinedAnchor, RecordChain
from backend.proofs.service.returns import Pinner
from backend.proofs.types import Binding, Breach, CircuitShape, Claim, Limits, Positions
from backend.risk.engine.var import attestable_es_units, attestable_var_units, pnl_units, usd

log = structlog.get_logger(__name__)

ATTEST_JOB = "proofs.attest"
ATTESTOR = "VarAttestor"
ORACLE = "ReturnsOracle"
ZERO_WORD = bytes(32)
PROOF_WORDS = 8


OnBreach = Callable[[AsyncSession, Attestation], Awaitable[None]]
# Keeps a wallet's orders waiting until the transaction ends.
Hold = Callable[[AsyncSession, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Case:
    """Everything a claim is made from."""

    closed: ClosedEpoch
    positions: Positions
    published: Publication
    anchor: MinedAnchor
    policy_id: bytes
    terms: PolicyTerms
    shape: CircuitShape
    binding: Binding


class AttestationService:
    """Proves that committed positions keep a policy's limit, and has VarAttestor say so."""

    def __init__(
        self,
        database: Database,
        chain: Chain,
        prover: Prover,
        records: RecordChain,
        anchors: Anchors,
        journal: Journal,
        clock: Clock,
        *,
        circuit: str,
        constraints: int,
        policy_id: bytes,
        on_breach: OnBreach,
        hold: Hold | None = None,
        pinner: Pinner | None = None,
    ) -> None:
        self._database = database
        self._chain = chain
        self._prover = prover
        self._records = records
        self._anchors = anchors
        self._journal = journal
        self._clock = clock
        self._circuit = circuit
        self._on_breach = on_breach
        self._hold = hold
        self._pinner = pinner
        self.constraints = constraints
        self.policy_id = policy_id

    @property
    def attestor(self) -> str:
        """The address of VarAttestor, lower-case 0x-hex."""
        return self._chain.address(ATTESTOR)

    async def attest(
        self,
        subject: str,
        epoch: int,
        progress: Progress,
        *,
        policy_id: bytes | None = None,
        anchor_index: int | None = None,
    ) -> Attestation:
        """Return the epoch's attestation, made now if need be, or the breach that forbids one.

        A crash at any point is made good by the next call: proofs are kept before they are sent.
        """
        subject, policy_id = subject.lower(), policy_id or self.policy_id
        known = await self._kept(subject, epoch, policy_id)
        if known is not None and known.state is AttestationState.ATTESTED and not await self._stands(known):
            known = await self._withdrawn(known)
        if known is not None and known.state is not AttestationState.PROVED:
            return known
        progress("gathering")
        case = await self._case(subject, epoch, policy_id, anchor_index)
        if known is not None:
            done = await self._sent_before(known, case, anchor_index)
            if done is not None:
                return done
        else:
            await self._require_unattested(case)
        outcome = await self._proved(case, progress)
        if outcome.state is AttestationState.PROVED:
            progress("attesting")
            return await self._send(outcome, case)
        return outcome

    async def find(self, session: AsyncSession, subject: str, epoch: int) -> list[Attestation]:
        """Return what became of a wallet's claims of an epoch."""
        return await repository.attestations_of(session, subject.lower(), epoch)

    async def closed(self, session: AsyncSession, subject: str, epoch: int) -> ClosedEpoch | None:
        """Return a wallet's closed epoch."""
        return await repository.closed_epoch_of(session, subject.lower(), epoch)

    async def pack_part(
        self, session: AsyncSession, account: str, epoch: int, policy_id: bytes | None = None
    ) -> dict[str, Any] | None:
        """Return an evidence pack's `var` for an account's epoch, None while it is not attested."""
        closed = await repository.closed_epoch(session, account, epoch)
        if closed is None:
            return None
        made = await repository.attestation(session, closed.subject, epoch, policy_id or self.policy_id)
        if made is None or made.state is not AttestationState.ATTESTED:
            return None
        return pack_section(self.attestor, made)

    async def chain(self, session: AsyncSession, subject: str, policy_id: bytes, after: int, limit: int) -> list[Link]:
        """Return a wallet's closed epochs after one, oldest first, with what became of each under a policy."""
        return await repository.links(session, subject.lower(), policy_id, after, limit)

    async def require_policy(self, limits: Limits, universe_id: bytes) -> None:
        """Raise Conflict or NotFound where the chain's policy in force is not the one that the settings describe."""
        try:
            terms, _ = await self._terms(self.policy_id)
        except NotFound as unknown:
            raise NotFound(f"{unknown.detail} (the settings describe one that allows {_in_words(limits)})") from unknown
        found = Limits(terms.limit, terms.es_limit)
        if found != limits:
            raise Conflict(
                f"the chain's VaR policy {word(self.policy_id)} allows {_in_words(found)}, the settings say "
                f"{_in_words(limits)}"
            )
        if terms.universe_id != universe_id:
            raise Conflict(
                f"the chain's VaR policy {word(self.policy_id)} is for another universe than the market data"
            )

    async def _kept(self, subject: str, epoch: int, policy_id: bytes) -> Attestation | None:
        async with self._database.reading() as session:
            return await repository.attestation(session, subject, epoch, policy_id)

    async def _case(self, subject: str, epoch: int, policy_id: bytes, anchor_index: int | None) -> _Case:
        terms, shape = await self._terms(policy_id)
        async with self._database.reading() as session:
            closed = await repository.closed_epoch_of(session, subject, epoch)
            if closed is None:
                raise NotFound(f"epoch {epoch} is not closed for this wallet")
            anchor = await self._anchors.mined(session, anchor_index)
            await self._require_anchored(session, closed, anchor)
            published = await repository.publication(session, terms.universe_id, epoch)
        if published is None:
            raise Conflict(f"the returns of epoch {epoch} are not published")
        if closed.universe_id != terms.universe_id:
            raise Conflict("the epoch was closed over another universe than the policy's")
        on_chain = bytes(await self._chain.call(ORACLE, "returnsIdOf", terms.universe_id, epoch))
        if on_chain == ZERO_WORD:
            raise Conflict(f"the returns of epoch {epoch} are not on chain any more: publish them again")
        if on_chain != published.returns_id:
            raise Tampered("the oracle holds another matrix", epoch=epoch, found=word(on_chain))
        binding = await self._binding(closed, policy_id, anchor)
        positions = Positions(closed.salt, closed.positions)
        return _Case(closed, positions, published, anchor, policy_id, terms, shape, binding)

    async def _is_anchored(self, closed: ClosedEpoch, anchor_index: int) -> bool:
        """Return whether an anchor that was good once still is: a reorganised chain may have lost it."""
        async with self._database.reading() as session:
            try:
                await self._require_anchored(session, closed, await self._anchors.mined(session, anchor_index))
            except (Conflict, NotFound):
                return False
        return True

    async def _require_anchored(self, session: AsyncSession, closed: ClosedEpoch, anchor: MinedAnchor) -> None:
        below = await self._records.chain(session, closed.account, closed.record_seq, anchor.head.size)
        if not below or below[0].seq != closed.record_seq:
            raise Conflict(f"anchor {anchor.index} does not hold the epoch's record yet")
        if below[0].fields.get("position_commitment") != word(closed.commitment):
            raise Tampered("the record holds another commitment", record_id=closed.record_id)

    async def _terms(self, policy_id: bytes) -> tuple[PolicyTerms, CircuitShape]:
        terms = PolicyTerms(*await self._chain.call(ATTESTOR, "policyOf", policy_id))
        if terms.window == 0:
            raise NotFound(f"the chain knows no VaR policy {word(policy_id)}")
        key = await self._prover.key(self._circuit)
        require_circuit(terms, key)
        return terms, shape_of(key)

    async def _binding(self, closed: ClosedEpoch, policy_id: bytes, anchor: MinedAnchor) -> Binding:
        previous = bytes(await self._chain.call(ATTESTOR, "latestOf", closed.subject, policy_id))
        binding = Binding(
            chain_id=await self._chain.chain_id(),
            attestor=_address_bytes(self.attestor),
            subject=_address_bytes(closed.subject),
            epoch=closed.epoch,
            policy_id=policy_id,
            previous=previous,
            log_id=anchor.log_id,
            anchor_index=anchor.index,
        )
        arguments = (closed.subject, closed.epoch, policy_id, previous, anchor.log_id, anchor.index)
        if await self._chain.call(ATTESTOR, "contextOf", *arguments) != context(binding):
            raise Tampered("the contract computes another context")
        return binding

    async def _stands(self, made: Attestation) -> bool:
        return await self._id_at(made.subject, made.epoch, made.policy_id) != ZERO_WORD

    async def _withdrawn(self, made: Attestation) -> Attestation:
        """Take an attestation back that a reorganised chain lost; its proof is as good as before."""
        log.warning("var.withdrawn", subject=made.subject, epoch=made.epoch, tx_hash=made.tx_hash)
        async with self._database.transaction() as session:
            await repository.withdraw_attestation(session, made, self._clock.wall())
        return replace(made, state=AttestationState.PROVED, tx_hash=None, gas_used=None)

    async def _attested_id(self, case: _Case) -> bytes:
        return await self._id_at(case.closed.subject, case.closed.epoch, case.policy_id)

    async def _id_at(self, subject: str, epoch: int, policy_id: bytes) -> bytes:
        return bytes(await self._chain.call(ATTESTOR, "attestationAt", subject, epoch, policy_id))

    async def _require_not_overtaken(self, case: _Case) -> None:
        subject, epoch = case.closed.subject, case.closed.epoch
        async with self._database.reading() as session:
            later = await repository.attested_after(session, subject, epoch, case.policy_id)
        # The contract takes epochs in rising order only: a proof would be made for nothing.
        if later is not None and await self._id_at(subject, later, case.policy_id) != ZERO_WORD:
            raise Conflict(f"epoch {later} is attested already: none before it can be any more")

    async def _require_unattested(self, case: _Case) -> None:
        if await self._attested_id(case) != ZERO_WORD:
            raise Conflict("the chain holds an attestation of this epoch that is not kept here")

    async def _sent_before(self, proved: Attestation, case: _Case, anchor_index: int | None) -> Attestation | None:
        """Go on from a kept proof: found on chain, or still good to be sent; forget it otherwise.

        A newer anchor does not make it worse, and it may be on its way to the chain already.
        """
        if await self._attested_id(case) != ZERO_WORD:
            return await self._found(proved, case)
        claim = _claim_of(proved)
        good = claim.previous == case.binding.previous and anchor_index in {None, claim.anchor_index}
        if good and await self._is_anchored(case.closed, claim.anchor_index):
            return await self._send(proved, case)
        async with self._database.transaction() as session:
            await repository.drop_proved(session, proved.subject, proved.epoch, proved.policy_id)
        return None

    async def _proved(self, case: _Case, progress: Progress) -> Attestation:
        limits = Limits(case.terms.limit, case.terms.es_limit)
        claim = await asyncio.to_thread(
            build_claim, case.binding, case.positions, case.published.matrix, limits, case.shape
        )
        if isinstance(claim, Breach):
            return await self._breached(case, claim)
        await self._require_not_overtaken(case)
        if claim.statement.commitment != case.closed.commitment:
            raise Tampered("salt and positions do not make the recorded commitment", account=case.closed.account)
        proof = await self._prover.prove(self._circuit, claim.inputs, claim.public_inputs, progress)
        if isinstance(proof, NoProof):
            # The prover's own words may quote an input, and more people than the owner read a job's error.
            raise Unavailable("the prover found no proof of a true statement")
        made = _proved_claim(case, claim, proof.encoded, proof.cpu_seconds)
        outcome = _attestation(case, AttestationState.PROVED, *_figures(case), made)
        async with self._database.transaction() as session:
            if not await repository.add_attestation(session, outcome, self._clock.wall()):
                raise Conflict("this epoch is being attested; try again")
        return outcome

    async def _breached(self, case: _Case, breach: Breach) -> Attestation:
        outcome = _attestation(case, AttestationState.BREACHED, breach.var, breach.es, None)
        fields = {
            "subject": outcome.subject,
            "epoch": outcome.epoch,
            "policy_id": word(case.policy_id),
            "position_commitment": word(case.closed.commitment),
            "returns_id": word(case.published.returns_id),
            "broken": " ".join(outcome.broken),
            "var": decimal_string(breach.var),
            **_limits_shown(outcome),
            **({} if breach.es is None else {"es": decimal_string(breach.es)}),
        }
        async with self._database.transaction() as session:
            # An order takes the switch before the account's chain, a breach after it: never both at once.
            if self._hold is not None:
                await self._hold(session, outcome.subject)
            if await repository.add_attestation(session, outcome, self._clock.wall()):
                await self._record(session, outcome, "var.breach", fields)
                # A question about another limit than the one in force halts nobody.
                if case.policy_id == self.policy_id:
                    await self._on_breach(session, outcome)
        return outcome

    async def _send(self, proved: Attestation, case: _Case) -> Attestation:
        claim, matrix = _claim_of(proved), case.published.matrix
        submitted = (
            proved.subject,
            proved.epoch,
            proved.policy_id,
            claim.log_id,
            claim.anchor_index,
            claim.commitment,
            *claim.challenges,
        )
        arguments = (submitted, list(matrix.prices), matrix.packed, _proof_words(claim.proof))
        try:
            receipt = await self._chain.send(KeyRole.ATTESTER, ATTESTOR, "attest", *arguments)
        except Reverted:
            # Another worker may have been faster with the same proof.
            if await self._attested_id(case) == ZERO_WORD:
                raise
            return await self._found(proved, case)
        return await self._attested(proved, receipt.tx_hash, receipt.gas_used)

    async def _found(self, proved: Attestation, case: _Case) -> Attestation:
        claim = _claim_of(proved)
        if await self._attested_id(case) != claim.attestation_id:
            raise Tampered("the chain holds another attestation of this epoch", epoch=proved.epoch)
        filters = {"subject": proved.subject, "epoch": proved.epoch, "policyId": proved.policy_id}
        events = await self._chain.events(ATTESTOR, "Attested", filters=filters)
        if not events:
            raise Unavailable("the chain does not show the attestation's event yet")
        return await self._attested(proved, str(events[-1]["tx_hash"]), None)

    async def _attested(self, proved: Attestation, tx_hash: str, gas_used: int | None) -> Attestation:
        claim = _claim_of(proved)
        fields = {
            "subject": proved.subject,
            "epoch": proved.epoch,
            "policy_id": word(proved.policy_id),
            "previous": word(claim.previous),
            "anchor_index": claim.anchor_index,
            "position_commitment": word(claim.commitment),
            "returns_id": word(claim.returns_id),
            **_limits_shown(proved),
            "tx_hash": tx_hash,
        }
        made = replace(proved, state=AttestationState.ATTESTED, tx_hash=tx_hash, gas_used=gas_used)
        async with self._database.transaction() as session:
            if await repository.mark_attested(session, proved, tx_hash, gas_used, self._clock.wall()):
                await self._record(session, proved, "var.attested", fields)
                if self._pinner is not None:
                    await self._pinner.pin(session, "proof", canonical_json(pack_section(self.attestor, made)))
        return made

    async def must_wait(self, subject: str, epoch: int, policy_id: bytes | None, job: str) -> bool:
        """Return whether an earlier epoch of a wallet is being attested, which a later one would make impossible.

        Raise Conflict where it waits to be begun: whoever waited for that could keep it from beginning.
        """
        policy = word(policy_id or self.policy_id)
        async with self._database.reading() as session:
            found = await open_jobs(session, ATTEST_JOB, "subject", subject)
        earlier = {
            one.payload["epoch"]: one.running
            for one in found
            if one.id != job
            and one.payload["epoch"] < epoch
            and (one.payload.get("policy_id") or word(self.policy_id)) == policy
        }
        if not all(earlier.values()):
            raise Conflict(f"epoch {min(earlier)} of this wallet waits to be attested: ask for this one after it")
        return bool(earlier)

    async def asked(
        self, session: AsyncSession, account: str, subject: str, epoch: int, job: str, policy_id: str | None
    ) -> None:
        """Record on an account's chain that it asked for an attestation."""
        policy = policy_id or word(self.policy_id)
        fields = {"subject": subject, "epoch": epoch, "policy_id": policy, "job": job}
        await self._journal.record(session, account, "var.requested", fields, actor=account, policy=policy)

    async def failed(self, subject: str, epoch: int, policy_id: bytes | None, job: str, code: str) -> None:
        """Record, where positions were committed to, that an attempt came to no attestation, and the kind of fault."""
        policy = word(policy_id or self.policy_id)
        async with self._database.transaction() as session:
            closed = await self.closed(session, subject.lower(), epoch)
            account = SYSTEM_ACCOUNT if closed is None else closed.account
            fields = {"subject": subject.lower(), "epoch": epoch, "policy_id": policy, "job": job, "reason": code}
            await self._journal.record(session, account, "var.failed", fields, actor=SYSTEM_ACCOUNT, policy=policy)
            # Anybody can make up names of policies that there are not.
            if closed is not None and (unword(policy) == self.policy_id or code != NotFound.code):
                now = self._clock.wall()
                await repository.note_failure(session, closed.subject, epoch, unword(policy), code, now)

    async def _record(
        self, session: AsyncSession, about: Attestation, event: str, fields: Mapping[str, object]
    ) -> None:
        policy = word(about.policy_id)
        await self._journal.record(session, about.account, event, fields, actor=SYSTEM_ACCOUNT, policy=policy)


def _address_bytes(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))


def _proof_words(proof: bytes) -> list[int]:
    return [int.from_bytes(proof[32 * place : 32 * place + 32], "big") for place in range(PROOF_WORDS)]


def _figures(case: _Case) -> tuple[Decimal, Decimal | None]:
    """Return VaR and expected shortfall in USD, the latter None where the circuit proves none."""
    matrix, confidence = case.published.matrix, case.shape.confidence
    pnl = pnl_units(case.positions.quantities, matrix.prices, unpack_returns(matrix.packed, len(matrix.prices)))
    es = usd(attestable_es_units(pnl, confidence)) if case.shape.expected_shortfall else None
    return usd(attestable_var_units(pnl, confidence)), es


def _in_words(limits: Limits) -> str:
    return f"a VaR of {decimal_string(usd(limits.var))} and an ES of {decimal_string(usd(limits.es))} USD"


def _limits_shown(made: Attestation) -> dict[str, str]:
    shown = {"limit": decimal_string(made.limit)}
    return shown if made.es_limit is None else shown | {"es_limit": decimal_string(made.es_limit)}


def _claim_of(proved: Attestation) -> ProvedClaim:
    if proved.claim is None:
        raise Tampered("a proof is missing where one was kept", epoch=proved.epoch)
    return proved.claim


def _proved_claim(case: _Case, claim: Claim, proof: bytes, cpu_seconds: float) -> ProvedClaim:
    statement, returns = claim.statement, case.published.returns_id
    return ProvedClaim(
        attestation_id=attestation_id(context(case.binding), statement.commitment, returns),
        statement=statement.values(),
        previous=case.binding.previous,
        log_id=case.anchor.log_id,
        anchor_index=case.anchor.index,
        returns_id=returns,
        returns_cid=case.published.cid,
        proof=proof,
        prove_seconds=Decimal(f"{cpu_seconds:.3f}"),
    )


def _attestation(
    case: _Case, state: AttestationState, var: Decimal, es: Decimal | None, claim: ProvedClaim | None
) -> Attestation:
    return Attestation(
        account=case.closed.account,
        subject=case.closed.subject,
        epoch=case.closed.epoch,
        policy_id=case.policy_id,
        state=state,
        var=var,
        limit=usd(case.terms.limit),
        es=es,
        es_limit=None if es is None else usd(case.terms.es_limit),
        claim=claim,
        tx_hash=None,
        gas_used=None,
    )
