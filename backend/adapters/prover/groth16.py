"""A prover in a process of its own: circuits/prover, which imports GPL code and therefore stays outside."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from backend.kernel.errors import Unavailable
from backend.ports.prover import CircuitKey, NoProof, Progress, Proof, Signal

LINE_LIMIT = 1 << 20

Engine = Literal["groth16py", "snarkjs"]


def _silent(_stage: str) -> None:
    """Ignore the progress."""


class Groth16Process:
    """Start `python -m circuits.prover` in the repository's root for each request; keys lie in `folder`.

    engine: groth16py proves with every key, snarkjs with those that were imported from a ceremony; both verify all.
    """

    def __init__(self, root: Path, folder: Path, python: str = sys.executable, *, engine: Engine = "groth16py") -> None:
        self._root = root
        self._folder = folder
        self._python = python
        self._engine = engine

    async def setup(self, circuit: str, progress: Progress = _silent) -> CircuitKey:
        """Make the circuit's development key if there is none, and return it."""
        return _key(await self._ask("setup", circuit, None, progress))

    async def key(self, circuit: str) -> CircuitKey:
        """Return the circuit's key."""
        return _key(await self._ask("key", circuit, None, _silent))

    async def prove(
        self, circuit: str, inputs: Mapping[str, Signal], public_inputs: Sequence[int], progress: Progress = _silent
    ) -> Proof | NoProof:
        """Return a verified proof; cancelling the task kills the process and whatever it started."""
        signals = {name: _text(value) for name, value in inputs.items()}
        request = {"inputs": signals, "public_inputs": [str(value) for value in public_inputs]}
        answer = await self._ask("prove", circuit, request, progress)
        if "refused" in answer:
            return NoProof(str(answer["refused"]))
        proof = bytes.fromhex(answer["proof"].removeprefix("0x"))
        return Proof(proof, tuple(public_inputs), float(answer["cpu_seconds"]))

    async def verify(self, circuit: str, proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Return whether the proof holds."""
        request = {"proof": "0x" + proof.hex(), "public_inputs": [str(value) for value in public_inputs]}
        return (await self._ask("verify", circuit, request, _silent))["valid"] is True

    async def _ask(self, command: str, circuit: str, request: object, progress: Progress) -> dict[str, Any]:
        options = ("--folder", str(self._folder.absolute()), "--engine", self._engine)
        process = await asyncio.create_subprocess_exec(
            self._python,
            *("-m", "circuits.prover", command, circuit, *options),
            cwd=self._root,
            # Nothing to say, nothing to write to: the process may have answered and gone before this loop runs again
            stdin=asyncio.subprocess.DEVNULL if request is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LINE_LIMIT,
            start_new_session=True,
        )
        try:
            answer = await _converse(process, json.dumps(request).encode(), progress)
            await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if answer is None or "error" in answer:
            raise Unavailable(f"the prover did not {command}: {(answer or {}).get('error', 'no answer')}")
        return answer


async def _converse(process: asyncio.subprocess.Process, request: bytes, progress: Progress) -> dict[str, Any] | None:
    """Send the request, report progress lines, return the last other line."""
    if process.stdout is None:
        raise Unavailable("the prover has no pipes")
    # uvloop raises RuntimeError where the process has closed its end: what it said before is still to be read
    with suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        if process.stdin is not None:
            process.stdin.write(request)
            await process.stdin.drain()
            process.stdin.close()
    answer: dict[str, Any] | None = None
    async for message in _messages(process.stdout):
        if "progress" in message:
            progress(str(message["progress"]))
        else:
            answer = message
    return answer


async def _messages(output: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    while True:
        try:
            line = await output.readline()
            message = json.loads(line or b"{}")
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"the prover answers with something else than short JSON lines: {error}") from error
        if not line:
            return
        if not isinstance(message, dict):
            raise Unavailable("the prover answers with something else than short JSON lines: no object")
        yield message


def _text(value: Signal) -> str | list[str]:
    return str(value) if isinstance(value, int) else [str(part) for part in value]


def _key(meta: Mapping[str, Any]) -> CircuitKey:
    return CircuitKey(
        circuit=meta["circuit"],
        circuit_hash=_bytes(meta["circuit_hash"]),
        verifying_key=_bytes(meta["verification_key"]),
        verification_key_hash=_bytes(meta["verification_key_hash"]),
        insecure=meta["insecure"],
        instruments=meta["instruments"],
        window=meta["window"],
        k=meta["k"],
        confidence=Decimal(meta["confidence"]),
        tail=Fraction(*meta["tail"]),
        expected_shortfall=meta["expected_shortfall"],
        quantity_bits=meta["quantity_bits"],
        limit_bits=meta["limit_bits"],
        pnl_bits=meta["pnl_bits"],
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
