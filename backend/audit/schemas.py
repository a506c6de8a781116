"""The audit log on the wire."""

from pydantic import BaseModel, ConfigDict


class InclusionProof(BaseModel):
    """That an entry stands in a tree: base64url hashes, the path from the leaf upwards."""

    model_config = ConfigDict(frozen=True)

    index: int
    size: int
    root: str
    leaf: str
    path: list[str]


class ConsistencyProof(BaseModel):
    """That the second tree extends the first: base64url hashes in the order of RFC 9162 2.1.4."""

    model_config = ConfigDict(frozen=True)

    first: int
    second: int
    first_root: str
    second_root: str
    proof: list[str]
