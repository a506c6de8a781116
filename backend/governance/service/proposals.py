"""Any proposal: written, read from the chain alone, and carried through its vote."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eth_utils.address import to_checksum_address
from sqlalchemy.ext.asyncio import AsyncSession

from backend.governance.engine import VOTES, compare, composed, proposal_id, propose_arguments, settle_arguments
from backend.governance.engine.text import models_of
from backend.governance.types import (
    Act,
    CallSpec,
    Motion,
    Parameters,
    Power,
    Proposal,
    ProposalState,
    ShownCall,
    Tally,
    TextCheck,
    Timing,
    Unsigned,
)
from backend.kernel.errors import Invalid, NotFound, Unavailable
from backend.ports.chain import Block, Chain, Receipt, Reverted
from backend.ports.governance import Call, Contracts, Proposed, Votes
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.signer import KeyRole

POLICY = "governance:1"
GOVERNOR, TIMELOCK, TOKEN, REGISTRY = "RefiGovernor", "RefiTimelock", "RefiToken", "ModelRegistry"
STAKING = "Staking"
DEEPEST = 4
LONGEST_REASON = 2_000
ZERO_ADDRESS = "0x" + "00" * 20
MOST_CALLS = 64


class ProposalService:
    """Proposals as the chain has them; nothing here comes from the platform's own tables."""

    def __init__(self, chain: Chain, contracts: Contracts, votes: Votes, journal: Journal) -> None:
        self._chain = chain
        self._contracts = contracts
        self._votes = votes
        self._journal = journal

    @property
    def chain(self) -> Chain:
        """The chain that the DAO is on."""
        return self._chain

    def build(self, specs: Sequence[CallSpec], text: str, proposer: str = "") -> Proposal:
        """Return a proposal whose text names every call, and that only its proposer, if one is named, can send."""
        if not 1 <= len(specs) <= MOST_CALLS:
            raise Invalid(f"a proposal has 1 to {MOST_CALLS} calls")
        calls = [self._written(spec) for spec in specs]
        description = composed(text, [self._shown(call) for call in calls], proposer)
        return Proposal(
            governor=to_checksum_address(self._chain.address(GOVERNOR)),
            targets=tuple(to_checksum_address(call.target) for call in calls),
            values=tuple(call.value for call in calls),
            calldatas=tuple(call.data for call in calls),
            description=description,
        )

    async def listed(self, limit: int, offset: int = 0) -> Sequence[Motion]:
        """Return proposals, newest first, without their ballots."""
        made = list(reversed(await self._votes.proposals()))
        at = await self._chain.block()
        return [await self._motion(proposed, at) for proposed in made[offset : offset + limit]]

    async def count(self) -> int:
        """Return how many proposals there are."""
        return len(await self._votes.proposals())

    async def numbers(self) -> Sequence[int]:
        """Return the numbers of all proposals, oldest first."""
        return [made.number for made in await self._votes.proposals()]

    async def threshold(self) -> int:
        """Return the votes that it takes to propose (18 decimals)."""
        return int(await self._chain.call(GOVERNOR, "proposalThreshold"))

    async def shown(self, number: int) -> Motion:
        """Return a proposal with the ballots that weigh anything; raise NotFound."""
        made = await self._made(number)
        motion = await self._motion(made, await self._chain.block())
        # Anyone may cast a vote that weighs nothing, as often as they have wallets.
        ballots = tuple(ballot for ballot in await self._votes.ballots(number) if ballot.weight)
        return Motion(
            motion.made, motion.description, motion.state, motion.calls, motion.text, motion.warnings, motion.tally,
            motion.timing, ballots,
        )  # fmt: skip

    def examine(self, proposal: Proposal) -> tuple[tuple[ShownCall, ...], TextCheck]:
        """Return what a proposal's calls do, and whether its text says so."""
        calls = tuple(map(self._shown, _calls(proposal)))
        return calls, compare(proposal.description, calls)

    async def parameters(self) -> Parameters:
        """Return how the DAO decides, as of the latest block."""
        at = await self._chain.block()

        async def of(contract: str, function: str, *arguments: Any) -> Any:
            return await self._chain.call(contract, function, *arguments, block=at.number)

        return Parameters(
            governor=self._chain.address(GOVERNOR),
            timelock=str(await of(GOVERNOR, "timelock")).lower(),
            token=str(await of(GOVERNOR, "token")).lower(),
            guardian=str(await of(GOVERNOR, "proposalGuardian")).lower(),
            registry_guardian=str(await of(REGISTRY, "guardian")).lower(),
            voting_delay=await of(GOVERNOR, "votingDelay"),
            voting_period=await of(GOVERNOR, "votingPeriod"),
            late_extension=await of(GOVERNOR, "lateQuorumVoteExtension"),
            timelock_delay=await of(TIMELOCK, "getMinDelay"),
            threshold=await of(GOVERNOR, "proposalThreshold"),
            quorum=await of(GOVERNOR, "quorum", at.timestamp - 1),
            quorum_numerator=await of(GOVERNOR, "quorumNumerator"),
            quorum_denominator=await of(GOVERNOR, "quorumDenominator"),
            supply=await of(TOKEN, "totalSupply"),
            clock_mode=await of(GOVERNOR, "CLOCK_MODE"),
        )

    async def power(self, address: str) -> Power:
        """Return what a wallet could do in a proposal that is made now."""
        at = await self._chain.block()
        votes = await self._chain.call(TOKEN, "getVotes", address, block=at.number)
        try:
            staked = int(await self._chain.call(STAKING, "stakedOf", address, block=at.number))
        except NotFound:
            # A deployment need not have stakes.
            staked = 0
        return Power(
            address=address.lower(),
            balance=await self._chain.call(TOKEN, "balanceOf", address, block=at.number),
            delegate=str(await self._chain.call(TOKEN, "delegates", address, block=at.number)).lower(),
            votes=votes,
            is_able_to_propose=votes >= await self._chain.call(GOVERNOR, "proposalThreshold", block=at.number),
            staked=staked,
        )

    def propose(self, proposal: Proposal) -> Act:
        """Return the step that puts a proposal to the vote."""
        number = str(proposal_id(proposal))
        return Act(
            GOVERNOR, "propose", propose_arguments(proposal), "governance.proposed",
            {"proposal_id": number},
        )  # fmt: skip

    def delegate(self, delegatee: str) -> Act:
        """Return the step that lets a wallet's tokens vote through another, or through itself; raise Invalid."""
        if int(delegatee, 16) == 0:
            raise Invalid("votes delegated to nobody count for nothing: name a wallet")
        return Act(TOKEN, "delegate", (to_checksum_address(delegatee),), "governance.delegated", {"to": delegatee})

    def vote(self, number: int, support: str, reason: str = "") -> Act:
        """Return the step that votes on a proposal; raise Invalid."""
        if support not in VOTES:
            raise Invalid(f"unknown vote {support!r}: choose one of {', '.join(VOTES)}")
        if number >= 2**256:
            raise Invalid("a proposal's number is less than 2^256")
        if any("\ud800" <= character <= "\udfff" for character in reason):
            raise Invalid("a reason is text in Unicode")
        if len(reason) > LONGEST_REASON:
            raise Invalid(f"a reason has at most {LONGEST_REASON} characters")
        fields = {"proposal_id": str(number), "support": support, "reason": reason}
        return Act(GOVERNOR, "castVoteWithReason", (number, VOTES[support], reason), "governance.voted", fields)

    async def queue(self, number: int) -> Act:
        """Return the step that puts a successful proposal into the timelock; raise NotFound."""
        return self._settle("queue", "governance.queued", await self._made(number))

    async def execute(self, number: int) -> Act:
        """Return the step that carries a proposal out once it has waited; raise NotFound."""
        return self._settle("execute", "governance.executed", await self._made(number))

    async def cancel(self, number: int) -> Act:
        """Return the step with which the proposer (before the vote) or the guardian ends a proposal."""
        return self._settle("cancel", "governance.cancelled", await self._made(number))

    def call_of(self, act: Act) -> Call:
        """Return a step as a call."""
        return Call(
            self._chain.address(act.contract),
            0,
            self._chain.calldata(act.contract, act.function, *act.arguments),
        )

    async def unsigned(self, act: Act, sender: str) -> Unsigned:
        """Return a step for a wallet to sign; raise Reverted where the chain would refuse it now."""
        call = self.call_of(act)
        gas = await self._votes.gas(sender, call)
        return Unsigned(call.target, call.data, call.value, await self._chain.chain_id(), sender.lower(), gas)

    async def send_signed(self, act: Act, sender: str, sign: Callable[[Mapping[str, Any]], bytes]) -> Receipt:
        """Take a step with a wallet's key, which signs the whole transaction; it is no act of the platform's."""
        return await self._votes.broadcast(sign(await self._votes.prepared(sender, self.call_of(act))))

    async def send(self, session: AsyncSession, act: Act, actor: str) -> Receipt:
        """Take a step with the operator's key and record it."""
        receipt = await self._chain.send(KeyRole.OPERATOR, act.contract, act.function, *act.arguments)
        fields = {**act.fields, "tx_hash": receipt.tx_hash}
        await self._journal.record(session, SYSTEM_ACCOUNT, act.event, fields, actor=actor, policy=POLICY)
        return receipt

    async def _made(self, number: int) -> Proposed:
        for made in await self._votes.proposals():
            if made.number == number:
                return made
        raise NotFound("no such proposal")

    def _settle(self, function: str, event: str, made: Proposed) -> Act:
        proposal = _proposal(self._chain.address(GOVERNOR), made)
        return Act(GOVERNOR, function, settle_arguments(proposal), event, {"proposal_id": str(made.number)})

    def _written(self, spec: CallSpec) -> Call:
        if bool(spec.function) == bool(spec.data):
            raise Invalid("a call has either a function with its arguments or its data")
        target = self._contracts.target(spec.target)
        if not 0 <= spec.value < 2**256:
            raise Invalid("a call sends less than 2^256 wei")
        if spec.data:
            try:
                return Call(target, spec.value, bytes.fromhex(spec.data.removeprefix("0x")))
            except ValueError as malformed:
                raise Invalid("a call's data is 0x and an even number of hex digits") from malformed
        return Call(target, spec.value, self._contracts.encode(target, spec.function, spec.arguments))

    def _shown(self, call: Call, depth: int = 0) -> ShownCall:
        decoded = self._contracts.decode(call)
        warnings = []
        if decoded is not None and decoded.inner and depth >= DEEPEST:
            warnings.append(f"not decoded: calls are carried in more than {DEEPEST} others")
            decoded = None
        elif decoded is None:
            name = self._contracts.name_at(call.target)
            what = f"{name} has no function that this data calls" if name else f"{call.target} is no contract of ours"
            warnings.append(f"not decoded: {what}")
        elif not decoded.is_whole:
            warnings.append(f"the data of {decoded.function} is not exactly what its arguments encode to")
        carried = decoded.inner if decoded is not None else ()
        if carried and decoded is not None:
            warnings.append(f"{decoded.contract}.{decoded.function} carries {len(carried)} more calls inside it")
        if call.value:
            warnings.append(f"sends {call.value} wei")
        return ShownCall(call, decoded, tuple(warnings), tuple(self._shown(part, depth + 1) for part in carried))

    async def _motion(self, made: Proposed, at: Block) -> Motion:
        async def of(contract: str, function: str, *arguments: Any) -> Any:
            return await self._chain.call(contract, function, *arguments, block=at.number)

        calls = tuple(map(self._shown, made.calls))
        text = compare(made.description, calls, await self._registered(calls))
        against, in_favour, abstain = await of(GOVERNOR, "proposalVotes", made.number)
        # The supply of a moment that has not passed is nobody's to know: until then the present one is shown.
        needed = await of(GOVERNOR, "quorum", min(made.opens_at, at.timestamp - 1))
        timing = Timing(
            now=at.timestamp,
            opens_at=made.opens_at,
            closes_at=await of(GOVERNOR, "proposalDeadline", made.number),
            announced_close=made.closes_at,
            eta=await of(GOVERNOR, "proposalEta", made.number),
            timelock_delay=await of(TIMELOCK, "getMinDelay"),
        )
        state = _state(await of(GOVERNOR, "state", made.number))
        readable = made.description.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        warnings = [f"call {place}: {told}" for place, shown in enumerate(calls, 1) for told in _told(shown)]
        if text.matches is not True:
            warnings += text.reasons
        tally = Tally(against, in_favour, abstain, needed)
        return Motion(made, readable, state, calls, text, tuple(warnings), tally, timing)

    async def _registered(self, calls: Sequence[ShownCall]) -> Mapping[str, tuple[str, str]]:
        found = {}
        for digest in models_of(calls):
            try:
                model = await self._chain.call(REGISTRY, "modelOf", bytes.fromhex(digest))
            except Reverted:
                continue
            found[digest] = (str(model[3]), str(model[4]))
        return found


def _state(found: int) -> ProposalState:
    try:
        return ProposalState(found)
    except ValueError as error:
        raise Unavailable(f"the chain's RPC answers a state of a proposal that there is not: {found}") from error


def _told(shown: ShownCall) -> list[str]:
    return [*shown.warnings, *(told for inner in shown.inner for told in _told(inner))]


def _calls(proposal: Proposal) -> list[Call]:
    parts = zip(proposal.targets, proposal.values, proposal.calldatas, strict=True)
    return [Call(target.lower(), value, data) for target, value, data in parts]


def _proposal(governor: str, made: Proposed) -> Proposal:
    return Proposal(
        to_checksum_address(governor),
        tuple(to_checksum_address(call.target) for call in made.calls),
        tuple(call.value for call in made.calls),
        tuple(call.data for call in made.calls),
        made.description,
    )
