"""Proving keys: made for development, imported from a ceremony, shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.cli.zk.circuits import Circuit, require_key
from backend.cli.zk.process import PROVER, Answer, Progress, ask
from backend.kernel.errors import Conflict, Invalid

# The key's points and the file of its circuit are for machines
HIDDEN = {"verification_key", "price_bits", "return_bits", "public_signals"}


def setup(wanted: Sequence[Circuit], folder: Path, *, dev: bool, progress: Progress) -> list[Answer]:
    """Make the development keys that are not there, and return them all."""
    if not dev:
        raise Invalid(
            "a production key comes from a ceremony, see `refi zk ceremony`; --dev makes a development key, INSECURE: "
            "one party makes it and could forge proofs"
        )
    return [_shown(_prover("setup", circuit, folder, progress=progress)) for circuit in wanted]


def key(circuit: Circuit, folder: Path) -> Answer:
    """Return a key's record."""
    require_key(circuit, folder)
    return _shown(_prover("key", circuit, folder, progress=lambda _: None))


def ceremony(circuit: Circuit, folder: Path, progress: Progress) -> Answer:
    """Return how a production key of a circuit is made."""
    return _prover("ceremony", circuit, folder, progress=progress)


def steps_told(answer: Answer) -> list[str]:
    """Return a ceremony's steps as lines."""
    lines = [f"{answer['circuit']}: {answer['constraints']:,} constraints, powers of tau to 2^{answer['power']}", ""]
    for number, step in enumerate(answer["steps"], start=1):
        lines.append(f"{number:>2}  {step['who']}: {step['what']}")
        lines += [f"      {step['command']}"] if step["command"] else []
    return [
        *lines,
        "",
        "The key is secure when",
        *(f"  - {reason}" for reason in answer["secure_when"]),
        *answer["not_checked"],
    ]


def take_key(circuit: Circuit, folder: Path, zkey: Path, options: Sequence[object], progress: Progress) -> Answer:
    """Take a ceremony's key into the folder."""
    try:
        return _prover("import", circuit, folder, "--zkey", zkey.absolute(), *options, progress=progress)
    except Conflict as refused:
        raise Conflict(f"{zkey.name} is not taken: {refused.detail}") from refused


def _prover(command: str, circuit: Circuit, folder: Path, *options: object, progress: Progress) -> Answer:
    def told(stage: str) -> None:
        progress(f"{circuit.name}: {stage}")

    return ask(PROVER, command, circuit.name, "--folder", folder, *options, progress=told)


def _shown(found: Answer) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in HIDDEN}
