"""What the audit trail costs on chain."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from web3.contract import Contract

from backend.kernel.merkle import leaf_hash
from scripts.gas import ANCHOR_BOUND, ENTRY, L1_CHAIN_ID, Row, growth, measured, over_bound, place, table, tree_root
from scripts.local_node import deploy, node

LARGEST = 2**63 - 1


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    return {row.what: row for row in measured()}


@pytest.fixture(scope="module")
def trees() -> Iterator[Contract]:
    with node(L1_CHAIN_ID) as web3:
        yield deploy(web3, "TreeHarness", file="Harnesses")


def test_an_anchor_stays_within_its_bound_up_to_a_million_leaves(rows: dict[str, Row]) -> None:
    anchors = [row for what, row in rows.items() if what.startswith("anchor")]
    assert len(anchors) == 5
    assert max(row.gas for row in anchors) == rows["anchor at 2^20 leaves, longest proof"].gas <= ANCHOR_BOUND


def test_showing_an_entry_or_an_anchor_stays_within_a_transaction_that_people_pay(rows: dict[str, Row]) -> None:
    assert rows["inclusion of an entry, depth 20"].gas <= 60_000
    assert rows["L1 proof of an anchor"].gas <= 350_000


def test_an_attestation_stays_within_its_bound_at_the_platforms_and_the_largest_size(rows: dict[str, Row]) -> None:
    assert over_bound(list(rows.values())) == []
    for size, most in (("16 x 90", 450_000), ("64 x 250", 2_000_000)):
        first, later = rows[f"attest {size}, the subject's first"], rows[f"attest {size}, the next"]
        assert max(first.gas, later.gas) <= most
        assert over_bound([replace(later, gas=most + 1)]) == [later.what]
    assert "uid" in rows["attest 16 x 90 with EAS"].detail


def test_the_table_has_a_line_a_measurement(rows: dict[str, Row]) -> None:
    lines = table(list(rows.values())).splitlines()
    assert len(lines) == 1 + len(rows)
    for line, row in zip(lines[1:], rows.values(), strict=True):
        assert row.what in line
        assert f"{row.gas:,}" in line


def test_trees_of_every_size_are_walked_as_the_platform_walks_them(trees: Contract) -> None:
    random = Random(9162)
    leaf = leaf_hash(ENTRY)
    for _ in range(40):
        size = random.randrange(2, 1 << random.randrange(2, 64))
        old, index = random.randrange(1, size), random.randrange(size)
        call = trees.functions.isConsistent
        assert call(old, tree_root(old), size, tree_root(size), growth(old, size)).call()
        assert not call(old, tree_root(old), size, tree_root(size), growth(old, size)[:-1]).call()
        assert trees.functions.isIncluded(leaf, index, size, place(index, size), tree_root(size)).call()
    proof = growth(LARGEST - 1, LARGEST)
    assert trees.functions.isConsistent(LARGEST - 1, tree_root(LARGEST - 1), LARGEST, tree_root(LARGEST), proof).call()
