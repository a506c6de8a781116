"""The circuits that there are, as circuits/circuits.json names them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from backend.cli.local import ROOT
from backend.kernel.errors import Conflict, Invalid
from backend.proofs.types import CircuitShape

PLATFORM_CIRCUIT = "var_16_90_es"
# snarkjs needs a key of its own making, which only a small circuit can have quickly: it is no parameter set.
SMALL_CIRCUIT = "var_4_8_es"


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit's name and parameters; `of` names the circuit that a baseline is compared with."""

    name: str
    shape: CircuitShape
    of: str = ""


@cache
def circuits() -> dict[str, Circuit]:
    """Return every circuit that proofs are made of."""
    return _read(ROOT / "circuits" / "circuits.json")


@cache
def baselines() -> dict[str, Circuit]:
    """Return the circuits that are only measured."""
    return _read(ROOT / "circuits" / "baseline" / "baselines.json")


def parameter_sets() -> list[str]:
    """Return the names of the circuits that policies use."""
    return [name for name in circuits() if name != SMALL_CIRCUIT]


def named(name: str) -> Circuit:
    """Return a circuit by its name."""
    if name not in circuits():
        raise Invalid(f"no circuit {name!r}: choose one of {', '.join(circuits())}")
    return circuits()[name]


def all_named(names: Sequence[str]) -> list[Circuit]:
    """Return circuits by their names, each once."""
    return [named(name) for name in dict.fromkeys(names)]


def require_key(circuit: Circuit, folder: Path) -> None:
    """Raise Conflict where a circuit has no key."""
    if not (folder / circuit.name / "meta.json").is_file():
        raise Conflict(f"no key of {circuit.name} in {folder}: `refi zk setup {circuit.name} --dev` makes one")


def _read(path: Path) -> dict[str, Circuit]:
    entries: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return {name: Circuit(name, _shape(entry), entry.get("of", "")) for name, entry in entries.items()}


def _shape(entry: dict[str, Any]) -> CircuitShape:
    return CircuitShape(
        instruments=entry["instruments"],
        window=entry["window"],
        confidence=Fraction(entry["confidence"]),
        expected_shortfall=entry["expected_shortfall"],
        quantity_bits=entry["quantity_bits"],
        limit_bits=entry["limit_bits"],
        pnl_bits=entry["pnl_bits"],
    )
