"""Hold the attestor against the risk engine: `python -m scripts.chaos.attestor [--count N] [--seed N]`.

Each case is a portfolio (long, short, sparse, huge or empty), a real window of the recorded panel and a pair of limits
at, or around, the true VaR and expected shortfall. The entry point, on a throw-away node, must take the claim exactly
when the engine says that both limits are kept. Where they are not, the strongest dishonest witness is proved anyway.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from random import Random
from typing import Any, Protocol

from eth_utils.crypto import keccak

from backend.adapters.market_data.replay import ReplayMarketData
from backend.adapters.prover.groth16 import Groth16Process
from backend.cli.local import ROOT
from backend.kernel.errors import Unavailable
from backend.market.engine.returns import returns_window
from backend.proofs.engine.circuit import shape_of
from backend.proofs.engine.claim import assemble, tail_witness
from backend.proofs.engine.returns import build_matrix, unpack_returns
from backend.proofs.types import Binding, Claim, Limits, Matrix, Positions, TailWitness
from backend.risk.engine.var import attestable_es_units, attestable_var_units, pnl_units
from backend.settings import child_environment
from scripts.chaos.attestor_chain import AttestorChain, Circuit, attestor_chain

DEFAULT_COUNT = 200
CIRCUITS = ("var_16_90_es", "var_16_90")
WINDOW, INSTRUMENTS = 90, 16
MOST = (1 << 82) - 1
SHARE = 10**6
BOOKS = ("long", "short", "mixed", "sparse", "huge", "tiny", "empty")
OFFSETS = ("below", "at", "above", "zero", "half", "double", "most")


class Prover(Protocol):
    """Proves a circuit's claims without looking; None where no witness can be written down."""

    def __call__(self, circuit: str, claim: Claim) -> bytes | None:
        """Return whatever proof the claim yields."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A portfolio, a day of the panel and two limits."""

    circuit: str
    quantities: tuple[int, ...]
    market: Matrix
    limits: Limits


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the engine says of a case, and whether the entry point took a claim of it."""

    kept: bool
    taken: bool


@dataclass(slots=True)
class Tally:
    """What was compared."""

    sorts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@cache
def panel() -> ReplayMarketData:
    """Return the panel that ships."""
    return ReplayMarketData()


@cache
def window(place: int) -> Matrix:
    """Return the matrix of the panel's day at a place, counted from the first day that has a whole window before it."""
    return build_matrix(returns_window(panel(), panel().days()[WINDOW + place], WINDOW))


def windows() -> int:
    """Return how many days of the panel have a whole window."""
    return len(panel().days()) - WINDOW


def daily(quantities: Sequence[int], market: Matrix) -> list[int]:
    """Return the daily P&L (W,) in 1e-16 USD."""
    return pnl_units(quantities, market.prices, unpack_returns(market.packed, len(market.prices)))


def least(circuit: Circuit, quantities: Sequence[int], market: Matrix) -> Limits:
    """Return the engine's VaR and expected shortfall: the smallest limits that are kept."""
    pnl, of = daily(quantities, market), circuit.shape
    es = attestable_es_units(pnl, of.confidence) if of.expected_shortfall else 0
    return Limits(attestable_var_units(pnl, of.confidence), es)


def quantities_of(book: str, draw: Random) -> tuple[int, ...]:
    """Return a portfolio of a sort, in 1e-6 shares; none moves by more on a day than the circuit holds."""
    size = {"huge": 50_000 * SHARE, "tiny": 3}.get(book, 1_000 * SHARE)
    drawn = [draw.randint(-size, size) for _ in range(INSTRUMENTS)]
    match book:
        case "long":
            return tuple(map(abs, drawn))
        case "short":
            return tuple(-abs(quantity) for quantity in drawn)
        case "sparse":
            held = draw.sample(range(INSTRUMENTS), draw.randint(1, 2))
            return tuple(quantity if place in held else 0 for place, quantity in enumerate(drawn))
        case "empty":
            return (0,) * INSTRUMENTS
        case _:
            return tuple(drawn)


def limit_of(offset: str, true: int) -> int:
    """Return a limit that stands in this relation to the true figure."""
    wanted = {
        "below": true - 1,
        "at": true,
        "above": true + 1,
        "zero": 0,
        "half": true // 2,
        "double": 2 * true,
        "most": MOST,
    }
    return min(MOST, max(0, wanted[offset]))


def draw_case(circuits: Mapping[str, Circuit], draw: Random) -> tuple[str, Case]:
    """Return a case, and its sort in words."""
    name, book = draw.choice(CIRCUITS), draw.choice(BOOKS)
    quantities, market = quantities_of(book, draw), window(draw.randrange(windows()))
    true = least(circuits[name], quantities, market)
    var, es = draw.choice(OFFSETS[:3] * 2 + OFFSETS), draw.choice(OFFSETS[:3] * 2 + OFFSETS)
    shortfall = circuits[name].shape.expected_shortfall
    limits = Limits(limit_of(var, true.var), limit_of(es, true.es) if shortfall else 0)
    return f"{book}, VaR {var}" + (f", ES {es}" if shortfall else ""), Case(name, quantities, market, limits)


def dishonest(pnl: Sequence[int], limits: Limits, circuit: Circuit) -> Iterator[TailWitness]:
    """Yield the witnesses that come nearest to a proof: the true tail, v pressed under the limit, one flag more."""
    true = tail_witness(pnl, circuit.shape.confidence)
    yield true
    if circuit.shape.expected_shortfall and true.v > limits.var:
        yield TailWitness(true.flags, limits.var)
    worst = sorted(range(len(pnl)), key=pnl.__getitem__)[: sum(true.flags) + 1]
    yield TailWitness(tuple(int(day in worst) for day in range(len(pnl))), min(true.v, limits.var))


def judge(chain: AttestorChain, case: Case, prove: Prover, salt: int) -> Verdict:
    """Define the case's policy, claim it, if need be in every dishonest way, and say what both answered."""
    circuit = chain.circuits[case.circuit]
    publish_once(chain, case.market)
    policy_id = define_once(chain, case)
    binding = chain.bind(policy_id, case.market.epoch)
    pnl, held = daily(case.quantities, case.market), Positions(salt, case.quantities)
    true = least(circuit, case.quantities, case.market)
    kept = true.var <= case.limits.var and true.es <= case.limits.es
    witnesses = dishonest(pnl, case.limits, circuit)
    taken = False
    for witness in islice(witnesses, 1) if kept else witnesses:
        claim = assemble(binding, held, case.market, case.limits, circuit.shape, pnl=pnl, witness=witness)
        taken |= _taken(chain, case, binding, claim, prove)
    return Verdict(kept, taken)


def _taken(chain: AttestorChain, case: Case, binding: Binding, claim: Claim, prove: Prover) -> bool:
    proof = prove(case.circuit, claim)
    return proof is not None and chain.accepts(binding, claim.statement, proof, case.market)


def publish_once(chain: AttestorChain, market: Matrix) -> None:
    """Publish a matrix, and register its universe before the first."""
    if not any(chain.oracle.functions.universeOf(market.universe_id).call()):
        chain.register(panel().universe(), market.universe_id, WINDOW)
    if chain.oracle.functions.returnsIdOf(market.universe_id, market.epoch).call() == bytes(32):
        chain.publish(market)


def define_once(chain: AttestorChain, case: Case) -> bytes:
    """Define the policy of a circuit and a pair of limits; return its id."""
    policy_id = keccak(text=f"{case.circuit} {case.limits.var} {case.limits.es}")
    if not any(chain.attestor.functions.policyOf(policy_id).call()[0]):
        chain.define(policy_id, chain.policy(case.circuit, case.market.universe_id, case.limits))
    return policy_id


def run(chain: AttestorChain, count: int, seed: int, prove: Prover) -> Tally:
    """Judge `count` cases and return what was compared and where the two differed."""
    draw, tally = Random(seed), Tally()  # noqa: S311 - reproducible, not secret
    for _ in range(count):
        sort, case = draw_case(chain.circuits, draw)
        verdict = judge(chain, case, prove, draw.getrandbits(250))
        tally.sorts[f"{case.circuit}, {'accepted' if verdict.taken else 'refused'}"] += 1
        if verdict.kept != verdict.taken:
            tally.wrong.append(f"{sort}: engine {verdict.kept}, entry point {verdict.taken}: {case}")
    return tally


@contextmanager
def provers(names: Sequence[str]) -> Iterator[Prover]:
    """Start a process a circuit that proves without looking."""
    command = [sys.executable, "-m", "circuits.prover.attempt"]
    started = {
        name: subprocess.Popen(
            [*command, name],
            cwd=ROOT,
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    }

    def prove(circuit: str, claim: Claim) -> bytes | None:
        process = started[circuit]
        if process.stdin is None or process.stdout is None:
            raise Unavailable("the prover has no pipe")
        process.stdin.write(json.dumps({"inputs": hexed(claim.inputs)}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline() or "{}")
        if not answer:
            raise Unavailable("the prover stopped")
        return bytes.fromhex(answer["proof"].removeprefix("0x")) if "proof" in answer else None

    try:
        yield prove
    finally:
        for process in started.values():
            process.terminate()
            process.wait()


def hexed(inputs: Mapping[str, int | Sequence[int]]) -> dict[str, Any]:
    """Return signals as hexadecimal strings."""
    return {
        name: hex(value) if isinstance(value, int) else [hex(part) for part in value] for name, value in inputs.items()
    }


def circuit_of(name: str) -> Circuit:
    """Return a circuit with its key, made if it is not there."""
    key = asyncio.run(Groth16Process(ROOT, ROOT / ".refi" / "zk").setup(name))
    return Circuit(shape_of(key), key.verifying_key, key.circuit_hash)


def main() -> int:
    """Compare and print what was compared; exit 1 where the two differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=DEFAULT_COUNT)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    circuits = {name: circuit_of(name) for name in CIRCUITS}
    with provers(CIRCUITS) as prove, attestor_chain(circuits) as chain:
        tally = run(chain, options.count, options.seed, prove)
    print(*(f"{name:<32}{number:>6}" for name, number in sorted(tally.sorts.items())), *tally.wrong[:20], sep="\n")
    seconds = time.monotonic() - started
    print(f"{options.count} claims, {len(tally.wrong)} disagreements, seed {options.seed}, {seconds:.0f} s")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
