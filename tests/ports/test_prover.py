"""What every prover promises, on the processes that ship: arkworks and snarkjs, with the key that snarkjs made."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import psutil
import pytest
import uvloop
from eth_utils.crypto import keccak

from backend.adapters.prover.groth16 import Engine, Groth16Process
from backend.bootstrap import make_prover
from backend.kernel.errors import Unavailable
from backend.kernel.field import SCALAR_FIELD
from backend.ports.prover import NoProof, Proof, Prover
from backend.proofs.types import Claim, Limits
from backend.settings import Settings
from tests.circuits.contributed import KEYS, SMALL, contributed
from tests.circuits.example import BINDING, CIRCUITS, ROOT, honest, matrix, positions, proving_key, tightest
from tests.circuits.example import KEYS as DEVELOPMENT

MARKET, HELD = matrix(circuit=SMALL), positions(circuit=SMALL)
LIMITS = tightest(HELD, MARKET, SMALL)
ENGINES: tuple[Engine, ...] = ("groth16py", "snarkjs")
PATIENCE_SECONDS = 10


@pytest.fixture(params=ENGINES)
def prover(request: pytest.FixtureRequest) -> Prover:
    contributed()
    return Groth16Process(ROOT, KEYS, engine=request.param)


def _claim(limits: Limits = LIMITS) -> Claim:
    return honest(BINDING, HELD, MARKET, limits, SMALL)


def _silent(_stage: str) -> None:
    """Ignore the progress."""


async def test_a_proof_is_made_with_progress_and_verifies_for_its_statement_only(prover: Prover) -> None:
    claim, stages = _claim(), list[str]()
    proof = await prover.prove(SMALL, claim.inputs, claim.public_inputs, stages.append)
    assert isinstance(proof, Proof)
    assert stages == ["loading the key", "proving", "verifying"]
    assert len(proof.encoded) == 256
    assert proof.public_inputs == tuple(claim.public_inputs)
    assert 0 < proof.cpu_seconds < 60

    z, y, x = claim.public_inputs
    assert await prover.verify(SMALL, proof.encoded, (z, y, x))
    altered: list[Sequence[int]] = [(z, y, (x + 1) % SCALAR_FIELD), (z, y, x + SCALAR_FIELD), (z, y), (z, y, x, 0)]
    for inputs in altered:
        assert not await prover.verify(SMALL, proof.encoded, inputs)
    flipped = bytes([*proof.encoded[:-1], proof.encoded[-1] ^ 1])
    swapped = proof.encoded[192:] + proof.encoded[64:192] + proof.encoded[:64]
    for encoded in (flipped, swapped, proof.encoded[:-1], b"", bytes(256), b"\xff" * 256):
        assert not await prover.verify(SMALL, encoded, (z, y, x))


@pytest.mark.parametrize("low", [Limits(LIMITS.var - 1, LIMITS.es), Limits(LIMITS.var, LIMITS.es - 1)])
async def test_a_statement_that_is_false_has_no_proof(prover: Prover, low: Limits) -> None:
    claim = _claim(low)
    answer = await prover.prove(SMALL, claim.inputs, claim.public_inputs, _silent)
    assert isinstance(answer, NoProof)
    assert answer.reason


async def test_a_true_statement_with_anothers_public_inputs_has_no_proof(prover: Prover) -> None:
    claim, other = _claim(), _claim(Limits(LIMITS.var + 1, LIMITS.es))
    answer = await prover.prove(SMALL, claim.inputs, other.public_inputs, _silent)
    assert isinstance(answer, NoProof)


async def test_a_claim_without_one_of_its_signals_has_no_proof(prover: Prover) -> None:
    claim = _claim()
    inputs = {name: value for name, value in claim.inputs.items() if name != "salt"}
    assert isinstance(await prover.prove(SMALL, inputs, claim.public_inputs, _silent), NoProof)


async def test_the_key_says_what_it_is_for_and_that_it_is_not_to_be_trusted(prover: Prover) -> None:
    key = await prover.key(SMALL)
    assert key.insecure
    assert (key.circuit, key.instruments, key.window, key.k, key.confidence) == (SMALL, 4, 8, 2, Decimal("0.75"))
    assert (key.tail, key.expected_shortfall) == (Fraction(2), True)
    assert (key.quantity_bits, key.limit_bits, key.pnl_bits) == (40, 82, 83)
    assert key.verification_key_hash == keccak(key.verifying_key)
    assert len(key.verifying_key) == 448 + 4 * 64
    assert len(key.circuit_hash) == 32


async def test_an_unknown_circuit_is_a_fault_that_names_the_known_ones(prover: Prover) -> None:
    for name in ("no_such_circuit", "../zk/var_16_90", ""):
        with pytest.raises(Unavailable) as fault:
            await prover.key(name)
        assert all(known in str(fault.value) for known in CIRCUITS)


async def test_a_circuit_without_a_key_is_a_fault_that_says_what_to_do(prover: Prover, tmp_path: Path) -> None:
    prover = Groth16Process(ROOT, tmp_path, engine="snarkjs")
    with pytest.raises(Unavailable, match="run setup first"):
        await prover.verify(SMALL, bytes(256), (1, 2, 3))


@pytest.mark.parametrize("stage", ["loading the key", "proving"])
async def test_cancelling_leaves_no_process_behind(prover: Prover, stage: str) -> None:
    claim, reached = _claim(), asyncio.Event()

    def watch(told: str) -> None:
        if told == stage:
            reached.set()

    task = asyncio.create_task(prover.prove(SMALL, claim.inputs, claim.public_inputs, watch))
    await asyncio.wait_for(reached.wait(), PATIENCE_SECONDS)
    started = [one for one in psutil.Process().children(recursive=True) if "circuits" in " ".join(one.cmdline())]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    _, alive = psutil.wait_procs(started, timeout=PATIENCE_SECONDS)
    assert started
    assert not alive


async def test_a_prover_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await Groth16Process(tmp_path, KEYS).key(SMALL)


@pytest.mark.parametrize("said", ["junk", "5", "[]", "'{' * 200_000", "'9' * (2 << 20)"])
async def test_a_prover_that_answers_anything_else_is_unavailable_and_ended(said: str, tmp_path: Path) -> None:
    program = tmp_path / "python"
    text = said if "'" in said else repr(said)
    program.write_text(f"#!{sys.executable}\nimport time\nprint({text}, flush=True)\ntime.sleep(600)\n")
    program.chmod(0o755)
    with pytest.raises(Unavailable, match="something else than short JSON lines"):
        await Groth16Process(ROOT, KEYS, str(program)).key(SMALL)
    assert [one for one in psutil.Process().children() if str(program) in one.cmdline()] == []


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_prover_that_has_answered_and_gone_before_the_loop_looks_is_heard(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec 0<&-\necho '{\"valid\": true}'\n")
    program.chmod(0o755)
    prover = Groth16Process(ROOT, KEYS, str(program))

    async def asked_by_a_busy_loop() -> bool:
        asking = asyncio.create_task(prover.verify(SMALL, bytes(256), (1, 2, 3)))
        while not asking.done():
            # As an application that starts does: the process ends while nobody looks
            time.sleep(0.05)  # noqa: ASYNC251
            await asyncio.sleep(0)
        return asking.result()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(asked_by_a_busy_loop())


async def test_the_setting_picks_snarkjs_which_says_that_groth16pys_keys_are_not_for_it() -> None:
    proving_key(SMALL)
    claim, chosen = _claim(), make_prover(Settings(_env_file=None, prover="snarkjs", proving_keys_dir=DEVELOPMENT))
    with pytest.raises(Unavailable, match="imported from a zkey"):
        await chosen.prove(SMALL, claim.inputs, claim.public_inputs, _silent)
