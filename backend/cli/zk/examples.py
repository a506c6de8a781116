"""A claim for any circuit, to measure it with."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Any

from backend.adapters.market_data.replay import ReplayMarketData
from backend.cli.zk.circuits import Circuit
from backend.kernel.clock import epoch_of
from backend.kernel.errors import Unavailable
from backend.kernel.field import limbs, to_field
from backend.kernel.poseidon import absorb, pack, position_commitment
from backend.market.engine import returns_window
from backend.proofs.engine.claim import build_claim, tail_witness
from backend.proofs.engine.returns import (
    RETURN_BYTES,
    RETURN_LIMIT,
    build_matrix,
    pack_returns,
    universe_id,
    unpack_returns,
)
from backend.proofs.types import Binding, CircuitShape, Claim, Limits, Matrix, Positions
from backend.risk.engine.var import attestable_es_units, attestable_var_units, pnl_units

# ASCII read as a big-endian integer, ten returns a hashed element: circuits/baseline/var_inside.circom
MARKET_DOMAIN = int.from_bytes(b"refi/market/v1", "big")
RETURNS_AN_ELEMENT = 10
SEED = 7
LAST_DAY = date(2017, 8, 31)
DAILY_DEVIATION = 15_000  # 1.5 %, in 1e-6
PRICES = (100_000, 2_000_000)  # 10 to 200 USD, in 1e-4
QUANTITY = 10**9  # 1,000 shares, in 1e-6
ANYTHING = Binding(42069, bytes(20), bytes(20), epoch_of(LAST_DAY), bytes(32), bytes(32), bytes(32), 0)


@dataclass(frozen=True, slots=True)
class Market:
    """A matrix, the names of its instruments, and whether it is real or seeded."""

    tickers: tuple[str, ...]
    matrix: Matrix
    real: bool


@dataclass(frozen=True, slots=True)
class Example:
    """Positions in a market, and the tightest limits that can be proved of them."""

    circuit: Circuit
    market: Market
    positions: Positions
    limits: Limits

    def claim(self, binding: Binding = ANYTHING) -> Claim:
        """Return the claim that the limits hold."""
        made = build_claim(binding, self.positions, self.market.matrix, self.limits, self.circuit.shape)
        if not isinstance(made, Claim):
            raise Unavailable(f"the example of {self.circuit.name} breaks its own limits")
        return made


def example(circuit: Circuit) -> Example:
    """Return a circuit's example: real market data as far as what is shipped reaches, seeded positions."""
    shape = circuit.shape
    market = real_market(shape) if shape.instruments <= len(_panel().universe()) else seeded_market(shape)
    rng = random.Random(SEED)  # noqa: S311
    quantities = tuple(rng.randint(-QUANTITY, QUANTITY) for _ in range(shape.instruments))
    held = Positions(rng.getrandbits(250), quantities)
    pnl = _pnl(held, market.matrix)
    es = attestable_es_units(pnl, shape.confidence) if shape.expected_shortfall else 0
    return Example(circuit, market, held, Limits(attestable_var_units(pnl, shape.confidence), es))


def real_market(shape: CircuitShape) -> Market:
    """Return the shipped panel's first instruments over the window that ends on its last day but one."""
    window = returns_window(_panel(), LAST_DAY, shape.window)
    several = slice(shape.instruments)
    narrow = replace(
        window,
        universe=window.universe[several],
        prices=window.prices[several],
        returns=tuple(row[several] for row in window.returns),
    )
    return Market(narrow.universe, build_matrix(narrow), real=True)


def seeded_market(shape: CircuitShape) -> Market:
    """Return invented instruments with normal returns."""
    rng = random.Random(SEED)  # noqa: S311
    tickers = tuple(f"SEED{number:02d}" for number in range(shape.instruments))
    rows = [[round(rng.gauss(0, DAILY_DEVIATION)) for _ in tickers] for _ in range(shape.window)]
    prices = tuple(rng.randint(*PRICES) for _ in tickers)
    matrix = Matrix(universe_id(tickers), epoch_of(LAST_DAY), prices, pack_returns(rows))
    return Market(tickers, matrix, real=False)


def request(circuit: Circuit) -> dict[str, Any]:
    """Return what the prover is asked to prove of a circuit's example: signals and public inputs."""
    if circuit.of:
        return baseline_request(example(circuit))
    claim = example(circuit).claim()
    return {"inputs": signals(claim.inputs), "public_inputs": signals(claim.public_inputs)}


def baseline_request(of: Example) -> dict[str, Any]:
    """Return the same of a baseline, circuits/baseline/var_inside.circom."""
    matrix, held, shape = of.market.matrix, of.positions, of.circuit.shape
    rows = unpack_returns(matrix.packed, shape.instruments)
    attestation, universe = of.claim().statement.attestation, limbs(matrix.universe_id)
    commitment = position_commitment(held.salt, matrix.universe_id, held.quantities)
    biased = [value + RETURN_LIMIT for row in rows for value in row]
    market = absorb(MARKET_DOMAIN, (*pack(biased, 8 * RETURN_BYTES, RETURNS_AN_ELEMENT), *matrix.prices))
    public = {"attestation": attestation, "limit": of.limits.var, "universeHi": universe[0], "universeLo": universe[1]}
    inputs = {
        **public,
        "salt": held.salt,
        "q": [to_field(quantity) for quantity in held.quantities],
        "price": matrix.prices,
        "R": [[to_field(value) for value in row] for row in rows],
        "flag": tail_witness(_pnl(held, matrix), shape.confidence).flags,
    }
    return {"inputs": signals(inputs), "public_inputs": signals((commitment, market, *public.values()))}


def signals(value: Any) -> Any:
    """Return numbers, nested as they are, as the decimal strings that the prover reads."""
    if isinstance(value, Mapping):
        return {name: signals(part) for name, part in value.items()}
    return str(value) if isinstance(value, int) else [signals(part) for part in value]


def _pnl(held: Positions, matrix: Matrix) -> list[int]:
    return pnl_units(held.quantities, matrix.prices, unpack_returns(matrix.packed, len(matrix.prices)))


@cache
def _panel() -> ReplayMarketData:
    return ReplayMarketData()
