"""The kernel, the verifier's file and the Solidity library give one answer on every inclusion and consistency proof."""

from collections.abc import Iterator

import pytest

from scripts.chaos.merkle import Readers, Vector, all_readers, by_kernel, run
from scripts.local_node import deploy, node


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    """Yield the three readers, the contract on a node of its own."""
    with node(31337) as web3:
        harness = deploy(web3, "TreeHarness", file="Harnesses")
        yield all_readers(str(web3.provider.endpoint_uri), str(harness.address))  # type: ignore[attr-defined]


def test_three_readers_agree_on_random_proofs(readers: Readers) -> None:
    sorts, wrong = run(2000, 3, readers)
    assert wrong == []
    assert sorts.total() == 2000
    assert {f"{kind}, {change}" for kind in ("inclusion", "consistency") for change in ("true", "node", "numbers")} <= {
        *sorts
    }


def test_a_reader_that_is_weaker_is_caught(readers: Readers) -> None:
    def trusting(vectors: object) -> list[bool]:
        assert isinstance(vectors, list)
        return [_ignores_the_root(vector) for vector in vectors]

    _, wrong = run(200, 3, readers | {"verifier": trusting})  # type: ignore[operator]
    assert wrong
    assert all("'verifier': True" in line for line in wrong)


def _ignores_the_root(vector: Vector) -> bool:
    return by_kernel(vector) or vector.change == "root"
