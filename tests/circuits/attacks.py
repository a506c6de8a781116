"""Claims that only a dishonest prover would make."""

from dataclasses import replace

from backend.kernel.field import SCALAR_FIELD
from backend.kernel.poseidon import absorb
from backend.proofs.engine.claim import columns, evaluate, with_statement
from backend.proofs.engine.returns import unpack_returns
from backend.proofs.types import Binding, Claim, Limits, Matrix, Positions
from tests.circuits.example import BINDING, claimed, shape


def forged_pnl(held: Positions, market: Matrix, limits: Limits, circuit: str, binding: Binding = BINDING) -> Claim:
    """Return a claim of no loss at all: zero P&L, and column values solved to fit instead of the published ones."""
    base = claimed(held, market, limits, circuit, days=[0] * shape(circuit).window, binding=binding)
    r = base.statement.r
    c = columns(market.prices, unpack_returns(market.packed, len(market.prices)), r)
    others = sum(q * value for q, value in zip(held.quantities[1:], c[1:], strict=True))
    c[0] = -others * pow(held.quantities[0], -1, SCALAR_FIELD) % SCALAR_FIELD
    z = absorb(r, c)
    return with_statement(replace(base, inputs={**base.inputs, "c": c}), replace(base.statement, z=z, e=evaluate(c, z)))
