"""The tree of account heads that makes an account's history complete (evidence pages, section 5)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from backend.kernel import merkle
from backend.kernel.canonical import EncodingError

_HEADS_TAG = b"refi/heads/v1\x00"


@dataclass(frozen=True, slots=True, order=True)
class AccountHead:
    """An account's pseudonym (32 bytes), its number of records, and the commitment of the last one (32 bytes)."""

    id: bytes
    count: int
    head: bytes

    def __post_init__(self) -> None:
        if len(self.id) != merkle.HASH_BYTES or len(self.head) != merkle.HASH_BYTES:
            raise EncodingError("an account's id and head have 32 bytes each")
        if not 1 <= self.count < 2**64:
            raise EncodingError(f"an account's count of {self.count} does not fit 8 bytes or is not positive")


@dataclass(frozen=True, slots=True)
class HeadProof:
    """One head's place in the tree: its index, the number of heads, and its path from the leaf upwards."""

    head: AccountHead
    index: int
    of: int
    path: tuple[bytes, ...]


def head_bytes(head: AccountHead) -> bytes:
    """Return the byte string that stands for one account in the heads tree."""
    return head.id + head.count.to_bytes(8, "big") + head.head


def bind_accounts(count: int, tree_root: bytes) -> bytes:
    """Return the heads root over a tree of `count` accounts."""
    return sha256(_HEADS_TAG + count.to_bytes(8, "big") + tree_root).digest()


def heads_root(heads: Iterable[AccountHead]) -> bytes:
    """Return the heads root over unique accounts, given in any order."""
    ordered = sorted_heads(heads)
    return bind_accounts(len(ordered), merkle.root(_leaves(ordered)))


def head_proof(heads: Iterable[AccountHead], account: bytes) -> HeadProof:
    """Return the proof of one account's head."""
    ordered = sorted_heads(heads)
    for index, head in enumerate(ordered):
        if head.id == account:
            return HeadProof(head, index, len(ordered), tuple(merkle.inclusion_path(_leaves(ordered), index)))
    raise EncodingError("the account has no head in this tree")


def verify_head(proof: HeadProof, expected_root: bytes) -> bool:
    """Tell whether a head stands in the tree behind a heads root."""
    tree_root = _climb(proof)
    return tree_root is not None and bind_accounts(proof.of, tree_root) == expected_root


def sorted_heads(heads: Iterable[AccountHead]) -> list[AccountHead]:
    """Return the heads sorted by account, refusing an account that occurs twice."""
    ordered = sorted(heads)
    if any(one.id == other.id for one, other in itertools.pairwise(ordered)):
        raise EncodingError("an account has two heads")
    return ordered


def _leaves(heads: Sequence[AccountHead]) -> list[bytes]:
    return [merkle.leaf_hash(head_bytes(head)) for head in heads]


def _climb(proof: HeadProof) -> bytes | None:
    return merkle.root_from_path(merkle.leaf_hash(head_bytes(proof.head)), proof.index, proof.of, proof.path)
