"""Model governance on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

MAX_FILES = 5
MAX_FILE_BYTES = 4 * 1024 * 1024
# The route's own body limit: five files in base64, in place of REFI_MAX_BODY_BYTES
MODEL_BODY_BYTES = 16 * 1024 * 1024


class ModelIn(BaseModel):
    """A model's files by name, in base64."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[dict[str, Annotated[Base64Bytes, Field(max_length=MAX_FILE_BYTES)]], Field(max_length=MAX_FILES)]


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
