"""The heads tree names each account once, with its count and its last commitment."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel import merkle
from backend.kernel.canonical import EncodingError
from backend.kernel.heads import AccountHead, head_proof, heads_root, verify_head

HEADS = st.lists(
    st.builds(
        AccountHead, st.binary(min_size=32, max_size=32), st.integers(1, 2**64 - 1), st.binary(min_size=32, max_size=32)
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda head: head.id,
)


def test_the_heads_root_follows_its_definition() -> None:
    one, two = AccountHead(b"\x01" * 32, 3, b"h" * 32), AccountHead(b"\x02" * 32, 1, b"g" * 32)
    leaves = [merkle.leaf_hash(head.id + head.count.to_bytes(8, "big") + head.head) for head in (one, two)]
    expected = sha256(b"refi/heads/v1\x00" + (2).to_bytes(8, "big") + merkle.node_hash(*leaves)).digest()
    assert heads_root([two, one]) == expected


def test_a_log_without_accounts_has_a_heads_root() -> None:
    assert heads_root([]) == sha256(b"refi/heads/v1\x00" + bytes(8) + merkle.EMPTY_ROOT).digest()


@given(HEADS, st.data())
def test_a_head_is_proved_and_no_other_passes_for_it(heads: list[AccountHead], data: st.DataObject) -> None:
    head = data.draw(st.sampled_from(heads))
    root, proof = heads_root(heads), head_proof(heads, head.id)
    assert proof.head == head
    assert verify_head(proof, root)
    assert not verify_head(replace(proof, head=replace(head, count=head.count % (2**64 - 1) + 1)), root)
    assert not verify_head(replace(proof, head=replace(head, head=bytes(31) + b"\x07")), root)
    assert not verify_head(replace(proof, of=proof.of + 1), root)
    assert not verify_head(replace(proof, path=(*proof.path, root)), root)
    assert not verify_head(proof, sha256(root).digest())


def test_an_account_with_two_heads_is_refused() -> None:
    head = AccountHead(bytes(32), 1, bytes(32))
    with pytest.raises(EncodingError, match="two heads"):
        heads_root([head, replace(head, count=2)])


def test_an_unknown_account_has_no_proof() -> None:
    with pytest.raises(EncodingError, match="no head"):
        head_proof([AccountHead(bytes(32), 1, bytes(32))], b"x" * 32)


@pytest.mark.parametrize(("account", "count", "head"), [(31, 1, 32), (32, 0, 32), (32, 2**64, 32), (32, 1, 33)])
def test_a_malformed_head_is_refused(account: int, count: int, head: int) -> None:
    with pytest.raises(EncodingError):
        AccountHead(bytes(account), count, bytes(head))
