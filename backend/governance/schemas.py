"""Model governance on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, model_validator

from backend.governance.types import CallSpec, Motion, ShownCall, StakePosition, StakeTerms, TextCheck, Unsigned
from backend.ports.governance import Ballot

MAX_FILES = 5
MAX_FILE_BYTES = 4 * 1024 * 1024
# The route's own body limit: five files in base64, in place of REFI_MAX_BODY_BYTES
MODEL_BODY_BYTES = 16 * 1024 * 1024
MAX_CALLS = 64
# A vote as the governor counts it.
SUPPORTS = ("against", "for", "abstain")

Wallet = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
ProposalNumber = Annotated[str, Field(pattern=r"^\d{1,78}$")]


class ModelIn(BaseModel):
    """A model's files by name, in base64."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[dict[str, Annotated[Base64Bytes, Field(max_length=MAX_FILE_BYTES)]], Field(max_length=MAX_FILES)]
    proposer: Wallet | None = Field(default=None, description="The only wallet that can send the proposal.")


class ProposalOut(BaseModel):
    """What a wallet signs: the arguments of Governor.propose; queue and execute take the hash for the text."""

    governor: str
    targets: list[str]
    values: list[str]
    calldatas: list[str]
    description: str
    description_hash: str


class ModelOut(BaseModel):
    """A model: `state` as the registry has it, `proposal_state` null until a voter has sent the proposal."""

    sha256: str
    weights_cid: str
    description_cid: str
    torchscript_cid: str
    card_cid: str
    report_cid: str
    feature_schema_sha256: str
    proposal_id: str
    state: str
    proposal_state: str | None = None
    created_at: datetime
    proposal: ProposalOut


class ModelsOut(BaseModel):
    """Models, newest first, in the state in which they were last seen."""

    items: list[ModelOut]


class RelayedOut(BaseModel):
    """A transaction that the operator sent on the DAO's behalf."""

    tx_hash: str
    block_number: int
    gas_used: int


class CallIn(BaseModel):
    """A call: function and arguments (texts or JSON values), or its whole data; value in wei.

    target is an address or a contract's name; function a name of the contract, or a signature like f(uint256).
    """

    model_config = ConfigDict(extra="forbid")

    target: Annotated[str, Field(max_length=64)]
    function: Annotated[str, Field(max_length=256)] = ""
    arguments: Annotated[list[Any], Field(max_length=32)] = []
    data: Annotated[str, Field(max_length=65_536, pattern=r"^(0x[0-9a-fA-F]*)?$")] = ""
    value: Annotated[str, Field(pattern=r"^\d{1,78}$")] = "0"

    def spec(self) -> CallSpec:
        """Return what the service takes."""
        return CallSpec(self.target, self.function, tuple(self.arguments), self.data, int(self.value))


class ProposalIn(BaseModel):
    """What is to be proposed and by which wallet; only that one can send it."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    calls: Annotated[list[CallIn], Field(min_length=1, max_length=MAX_CALLS)]
    proposer: Wallet | None = Field(default=None, description="Your own wallet unless another is named.")


class StepIn(BaseModel):
    """A step of the DAO to be made a transaction for a wallet (your own unless `sender` names another)."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["propose", "delegate", "vote", "queue", "execute", "cancel"]
    sender: Wallet | None = None
    proposal_id: ProposalNumber | None = Field(default=None, description="For vote, queue, execute and cancel.")
    proposal: dict[str, Any] | None = Field(default=None, description="For propose: a proposal as it was built.")
    support: Literal["for", "against", "abstain"] | None = Field(default=None, description="For vote.")
    reason: Annotated[str, Field(max_length=2_000)] = ""
    delegatee: Wallet | None = Field(default=None, description="For delegate.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        wanted = {"propose": ("proposal",), "delegate": ("delegatee",), "vote": ("proposal_id", "support")}
        missing = [name for name in wanted.get(self.action, ("proposal_id",)) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.action} needs {' and '.join(missing)}")
        return self


class TransactionOut(BaseModel):
    """A transaction for a wallet to sign; `gas` is what it would use now."""

    to: str
    data: str
    value: str
    chain_id: int
    sender: str = Field(serialization_alias="from")
    gas: int

    @classmethod
    def of(cls, unsigned: Unsigned) -> Self:
        """Return a transaction as JSON."""
        return cls(
            to=unsigned.to,
            data="0x" + unsigned.data.hex(),
            value=str(unsigned.value),
            chain_id=unsigned.chain_id,
            sender=unsigned.sender,
            gas=unsigned.gas,
        )


class ArgumentOut(BaseModel):
    """A decoded argument."""

    name: str
    type: str
    value: str


class CallOut(BaseModel):
    """A call of a proposal: `contract` and `function` are null where it is not decoded, `data` is always there."""

    target: str
    contract: str | None
    function: str | None
    arguments: list[ArgumentOut]
    value: str
    data: str
    warnings: list[str]
    inner: list["CallOut"]

    @classmethod
    def of(cls, shown: ShownCall) -> Self:
        """Return a call as JSON."""
        decoded = shown.decoded
        arguments = decoded.arguments if decoded is not None else ()
        return cls(
            target=shown.call.target,
            contract=decoded.contract if decoded is not None else None,
            function=decoded.signature if decoded is not None else None,
            arguments=[ArgumentOut(name=part.name, type=part.type, value=part.value) for part in arguments],
            value=str(shown.call.value),
            data="0x" + shown.call.data.hex(),
            warnings=list(shown.warnings),
            inner=[cls.of(inner) for inner in shown.inner],
        )


class TextOut(BaseModel):
    """Whether the calls are what the text says; null where the text says nothing that can be compared."""

    text_matches: bool | None
    reasons: list[str]

    @classmethod
    def of(cls, check: TextCheck) -> Self:
        """Return a comparison as JSON."""
        return cls(text_matches=check.matches, reasons=list(check.reasons))


class BuiltOut(BaseModel):
    """A proposal as it was built, what its calls do, and the transaction that proposes it."""

    proposal_id: str
    proposal: ProposalOut
    calls: list[CallOut]
    check: TextOut
    transaction: TransactionOut


class TallyOut(BaseModel):
    """Votes with 18 decimals; for and abstain count towards the quorum."""

    against: str
    in_favour: str = Field(serialization_alias="for")
    abstain: str
    quorum: str
    quorum_reached: bool


class BallotOut(BaseModel):
    """A vote that was cast; weight with 18 decimals."""

    voter: str
    support: str
    weight: str
    reason: str
    tx_hash: str

    @classmethod
    def of(cls, ballot: Ballot) -> Self:
        """Return a ballot as JSON."""
        support = SUPPORTS[ballot.support] if ballot.support < len(SUPPORTS) else str(ballot.support)
        return cls(
            voter=ballot.voter,
            support=support,
            weight=str(ballot.weight),
            reason=readable(ballot.reason),
            tx_hash=ballot.tx_hash,
        )


class TimingOut(BaseModel):
    """Moments in seconds since 1970, null where there is none; `now` is the latest block's time."""

    now: int
    opens_at: int
    closes_at: int
    extended_by_late_quorum: bool
    executable_at: int | None
    timelock_delay: int
    timelock_percent: int


class MotionOut(BaseModel):
    """A proposal as it stands on chain; `warnings` say what a voter should know before reading the text."""

    proposal_id: str
    state: str
    proposer: str
    description: str
    calls: list[CallOut]
    text_matches: bool | None
    reasons: list[str]
    warnings: list[str]
    votes: TallyOut
    timing: TimingOut
    block_number: int
    tx_hash: str
    ballots: list[BallotOut]

    @classmethod
    def of(cls, motion: Motion) -> Self:
        """Return a proposal as JSON."""
        tally, timing, made = motion.tally, motion.timing, motion.made
        return cls(
            proposal_id=str(made.number),
            state=motion.state.name.lower(),
            proposer=made.proposer,
            description=motion.description,
            calls=[CallOut.of(call) for call in motion.calls],
            text_matches=motion.text.matches,
            reasons=list(motion.text.reasons),
            warnings=list(motion.warnings),
            votes=TallyOut(
                against=str(tally.against),
                in_favour=str(tally.for_),
                abstain=str(tally.abstain),
                quorum=str(tally.needed),
                quorum_reached=tally.is_quorum_reached,
            ),
            timing=TimingOut(
                now=timing.now,
                opens_at=timing.opens_at,
                closes_at=timing.closes_at,
                extended_by_late_quorum=timing.is_extended,
                executable_at=timing.eta or None,
                timelock_delay=timing.timelock_delay,
                timelock_percent=timing.timelock_percent,
            ),
            block_number=made.block_number,
            tx_hash=made.tx_hash,
            ballots=[BallotOut.of(ballot) for ballot in motion.ballots],
        )


class MotionsOut(BaseModel):
    """Proposals, newest first, without their ballots."""

    items: Sequence[MotionOut]
    count: int


class ParametersOut(BaseModel):
    """How the DAO decides: times in seconds, votes with 18 decimals, quorum as a fraction of the supply."""

    governor: str
    timelock: str
    token: str
    guardian: str
    registry_guardian: str
    voting_delay: int
    voting_period: int
    late_extension: int
    timelock_delay: int
    threshold: str
    quorum: str
    quorum_numerator: int
    quorum_denominator: int
    supply: str
    clock_mode: str


class PowerOut(BaseModel):
    """A wallet's tokens, whom they vote through, and the votes that it casts itself (18 decimals)."""

    address: str
    balance: str
    delegate: str
    votes: str
    staked: str
    can_propose: bool


class TierOut(BaseModel):
    """A tier: the smallest stake (1e-18 REFI) and what of its fees a wallet gets back (1/10,000)."""

    tier: int
    threshold: str
    rebate_bps: int


class StakeTermsOut(BaseModel):
    """The tiers, lowest first, and the seconds that what is asked back waits, as of a block."""

    tiers: list[TierOut]
    cooldown: int
    block_number: int

    @classmethod
    def of(cls, terms: StakeTerms) -> Self:
        """Return the terms as JSON."""
        tiers = [
            TierOut(tier=number, threshold=str(threshold), rebate_bps=bps)
            for number, (threshold, bps) in enumerate(terms.tiers, 1)
        ]
        return cls(tiers=tiers, cooldown=terms.cooldown, block_number=terms.block_number)


class StakeOut(BaseModel):
    """A wallet's stake, in 1e-18 REFI; available_at: when what it asked back can be had, null for nothing."""

    address: str
    staked: str
    tier: int
    rebate_bps: int
    pending: str
    available_at: int | None
    delegate: str
    block_number: int

    @classmethod
    def of(cls, found: StakePosition) -> Self:
        """Return a stake as JSON."""
        return cls(
            address=found.address,
            staked=str(found.staked),
            tier=found.tier,
            rebate_bps=found.rebate_bps,
            pending=str(found.pending),
            available_at=found.available_at if found.pending else None,
            delegate=found.delegate,
            block_number=found.block_number,
        )


def readable(text: str) -> str:
    """Return a text without the surrogates that stand for bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
