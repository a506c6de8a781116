"""The contract folds the shared vectors, and every size that has a circuit, as the engine does."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from web3.contract import Contract

from backend.cli.local import ROOT
from backend.kernel.field import SCALAR_FIELD
from backend.proofs.engine.claim import fold
from backend.proofs.engine.returns import pack_returns
from scripts.local_node import deploy, node

FOLDS: list[dict[str, Any]] = json.loads((ROOT / "tests" / "vectors" / "fold.json").read_text("utf-8"))
CIRCUITS: dict[str, dict[str, Any]] = json.loads((ROOT / "circuits" / "circuits.json").read_text("utf-8"))
SIZES = sorted({(entry["instruments"], entry["window"]) for entry in CIRCUITS.values()})
TOP = 1 << 23


@pytest.fixture(scope="module")
def harness() -> Iterator[Contract]:
    with node(31337) as web3:
        yield deploy(web3, "FoldHarness", file="Harnesses")


@pytest.mark.parametrize("case", [case for case in FOLDS if len(case["prices_units"]) % 4 == 0])
def test_a_shared_vector_folds_on_chain_to_what_it_says(harness: Contract, case: dict[str, Any]) -> None:
    packed = urlsafe_b64decode(case["returns"] + "=" * (-len(case["returns"]) % 4))
    r, z = int(case["r"], 16), int(case["z"], 16)
    assert harness.functions.fold(case["prices_units"], packed, r, z).call() == int(case["e"], 16)


@pytest.mark.parametrize(("instruments", "window"), SIZES)
def test_every_size_folds_on_chain_as_in_the_engine(harness: Contract, instruments: int, window: int) -> None:
    rng = Random(instruments * window)
    prices = tuple(rng.randrange(1, 1 << 32) for _ in range(instruments))
    rows = [[rng.choice((-TOP, TOP - 1, rng.randrange(-TOP, TOP))) for _ in prices] for _ in range(window)]
    r, z = rng.randrange(SCALAR_FIELD), SCALAR_FIELD - 1
    e = fold(prices, rows, r, z)
    packed = pack_returns(rows)
    assert harness.functions.fold(prices, packed, r, z).call() == e
    other = packed[:-1] + bytes([packed[-1] ^ 1])
    assert harness.functions.fold(prices, other, r, z).call() != e
