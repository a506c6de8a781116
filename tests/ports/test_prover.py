"""What every prover promises, on the process that ships."""

import asyncio
import json
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import groth16py
import pytest
from eth_utils.crypto import keccak

from backend.adapters.prover.groth16 import Groth16Process
from backend.kernel.errors import Unavailable
from backend.kernel.field import SCALAR_FIELD
from backend.ports.prover import NoProof, Proof, Prover
from tests.circuits.example import (
    BINDING,
    CIRCUIT,
    KEYS,
    ROOT,
    honest,
    matrix,
    positions,
    proving_key,
    var_units,
)

MARKET, HELD = matrix(), positions()
LIMIT = var_units(HELD, MARKET)


@pytest.fixture
def prover() -> Prover:
    proving_key()
    return Groth16Process(ROOT, KEYS)


async def test_a_proof_is_made_with_progress_and_verifies(prover: Prover) -> None:
    claim, stages = honest(BINDING, HELD, MARKET, LIMIT), list[str]()
    proof = await prover.prove(CIRCUIT, claim.inputs, claim.public_inputs, stages.append)
    assert isinstance(proof, Proof)
    assert stages == ["loading the key", "proving", "verifying"]
    assert len(proof.encoded) == 256
    assert proving_key().verify(proof.encoded, claim.public_inputs)
    assert await prover.verify(CIRCUIT, proof.encoded, claim.public_inputs)
    altered = (*claim.public_inputs[:2], (claim.public_inputs[2] + 1) % SCALAR_FIELD)
    assert not await prover.verify(CIRCUIT, proof.encoded, altered)
    assert not await prover.verify(CIRCUIT, proof.encoded[:-1], claim.public_inputs)


async def test_a_statement_that_is_false_has_no_proof(prover: Prover) -> None:
    claim = honest(BINDING, HELD, MARKET, LIMIT - 1)
    answer = await prover.prove(CIRCUIT, claim.inputs, claim.public_inputs, lambda _stage: None)
    assert isinstance(answer, NoProof)


async def test_a_true_statement_with_anothers_public_inputs_has_no_proof(prover: Prover) -> None:
    claim, other = honest(BINDING, HELD, MARKET, LIMIT), honest(BINDING, HELD, MARKET, LIMIT + 1)
    answer = await prover.prove(CIRCUIT, claim.inputs, other.public_inputs, lambda _stage: None)
    assert isinstance(answer, NoProof)


async def test_the_key_says_what_it_is_for_and_that_it_is_for_development(prover: Prover) -> None:
    key = await prover.key(CIRCUIT)
    assert key.insecure
    assert (key.instruments, key.window, key.k, key.confidence) == (16, 90, 5, Decimal("0.95"))
    assert (key.quantity_bits, key.limit_bits) == (40, 100)
    assert key.verification_key_hash == keccak(key.verifying_key)
    assert len(key.verifying_key) == 448 + 4 * 64
    assert len(key.circuit_hash) == 32


async def test_missing_signals_and_unknown_circuits_are_faults(prover: Prover) -> None:
    claim = honest(BINDING, HELD, MARKET, LIMIT)
    with pytest.raises(Unavailable):
        await prover.key("no_such_circuit")
    inputs = {name: value for name, value in claim.inputs.items() if name != "salt"}
    answer = await prover.prove(CIRCUIT, inputs, claim.public_inputs, lambda _stage: None)
    assert isinstance(answer, NoProof)


async def test_cancelling_stops_the_work(prover: Prover) -> None:
    claim, started = honest(BINDING, HELD, MARKET, LIMIT), asyncio.Event()
    task = asyncio.create_task(prover.prove(CIRCUIT, claim.inputs, claim.public_inputs, lambda _stage: started.set()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_prover_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await Groth16Process(tmp_path, KEYS).key(CIRCUIT)


def _ask(command: str, folder: Path) -> dict[str, object]:
    arguments = [sys.executable, "-m", "circuits.prover", command, CIRCUIT, "--folder", str(folder)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, input="{}")
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _copied_keys(folder: Path) -> Path:
    proving_key()
    shutil.copytree(KEYS / CIRCUIT, folder / CIRCUIT)
    return folder / CIRCUIT


G2_GENERATOR = [
    [
        "10857046999023057135944570762232829481370756359578518086990519993285655852781",
        "11559732032986387107991004021392285783925812861821192530917403151452391805634",
    ],
    [
        "8495653923123431417604973247489272438418190587263600148770280649306958101930",
        "4082367875863433681332203403145435568316851327593401208105741076214120093531",
    ],
    ["1", "0"],
]


@pytest.mark.parametrize(("delta", "reason"), [("vk_gamma_2", "gamma equals delta"), (None, "delta is the generator")])
def test_a_forgeable_key_is_refused_by_every_command(tmp_path: Path, delta: str | None, reason: str) -> None:
    folder = _copied_keys(tmp_path)
    fields = json.loads((folder / "vk.json").read_text())
    fields["vk_delta_2"] = fields[delta] if delta else G2_GENERATOR
    groth16py.VerifyingKey.from_snarkjs(json.dumps(fields)).save(str(folder / "verifying.key"))
    for command in ("setup", "key", "prove", "verify"):
        assert reason in str(_ask(command, tmp_path)["error"])


def test_a_key_that_was_swapped_is_refused(tmp_path: Path) -> None:
    folder = _copied_keys(tmp_path)
    fields = json.loads((folder / "vk.json").read_text())
    fields["IC"][0], fields["IC"][1] = fields["IC"][1], fields["IC"][0]
    groth16py.VerifyingKey.from_snarkjs(json.dumps(fields)).save(str(folder / "verifying.key"))
    assert "not the one recorded" in str(_ask("key", tmp_path)["error"])


def test_a_setup_finds_a_finished_key_and_ignores_an_interrupted_one(tmp_path: Path) -> None:
    (tmp_path / f".{CIRCUIT}.interrupted").mkdir()
    (tmp_path / f".{CIRCUIT}.interrupted" / "proving.key").write_bytes(b"half")
    assert "run setup first" in str(_ask("key", tmp_path)["error"])
    _copied_keys(tmp_path)
    before = (tmp_path / CIRCUIT / "meta.json").read_bytes()
    assert _ask("setup", tmp_path) == json.loads(before)
    assert (tmp_path / CIRCUIT / "meta.json").read_bytes() == before
