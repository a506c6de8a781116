"""Epochs, returns and VaR attestations on the wire."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Epoch = Annotated[int, Field(ge=0, le=10_000_000)]
Wallet = Annotated[str, Field(pattern="^0x[0-9a-fA-F]{40}$")]
Word = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]


class CloseEpochIn(BaseModel):
    """The epoch (UTC day number of the business clock) to close."""

    model_config = ConfigDict(extra="forbid")

    epoch: Epoch


class RefusedAccountOut(BaseModel):
    """An account whose holdings cannot be committed to."""

    account: str
    rule: str
    reason: str


class ClosingOut(BaseModel):
    """What closing an epoch did; closing it again changes nothing."""

    epoch: int
    closed: int
    refused: list[RefusedAccountOut]


class PublishReturnsIn(BaseModel):
    """The trading day whose matrix is to be published."""

    model_config = ConfigDict(extra="forbid")

    day: date


class PublicationOut(BaseModel):
    """A matrix on chain, and where its file is pinned."""

    universe_id: str
    epoch: int
    returns_id: str
    cid: str
    tx_hash: str


class AttestIn(BaseModel):
    """Whose VaR to attest: the policy in force and the newest anchor unless others are named."""

    model_config = ConfigDict(extra="forbid")

    subject: Wallet
    epoch: Epoch
    policy_id: Word | None = None
    anchor_index: Annotated[int, Field(ge=0, le=2**53)] | None = None


class StartedOut(BaseModel):
    """The job that does it: GET /jobs/{job_id}."""

    job_id: str


class AttestationOut(BaseModel):
    """What anybody may know of a claim; a breach has neither proof nor transaction, but the limits that it broke.

    limit and es_limit bound VaR and expected shortfall, USD; es_limit is null where none is proved.
    """

    policy_id: str
    state: Literal["proved", "attested", "breached"]
    limit: str
    es_limit: str | None
    broken: list[Literal["var", "es"]]
    attestor: str
    attestation_id: str | None = None
    previous: str | None = None
    anchor_index: int | None = None
    position_commitment: str | None = None
    returns_id: str | None = None
    returns_cid: str | None = None
    public_inputs: list[str] | None = None
    proof: str | None = None
    tx_hash: str | None = None
    gas_used: int | None = None
    constraints: int | None = None


class VarOut(BaseModel):
    """A wallet's epoch: whether its positions are committed to, and every claim about them."""

    subject: str
    epoch: int
    closed: bool
    attestations: list[AttestationOut]


class LinkOut(BaseModel):
    """A closed epoch in the chain: what became of it, "skipped" where nobody asked.

    reason: the kind of fault where the newest attempt failed; previous: the attestation before, zero for the first.
    """

    epoch: int
    state: Literal["attested", "breached", "proved", "failed", "skipped"]
    broken: list[Literal["var", "es"]]
    reason: str | None = None
    attestation_id: str | None = None
    previous: str | None = None
    anchor_index: int | None = None
    tx_hash: str | None = None


class ChainOut(BaseModel):
    """A wallet's closed epochs, oldest first: whoever follows `previous` sees what lies between two attestations."""

    subject: str
    policy_id: str
    attestor: str
    epochs: list[LinkOut]
