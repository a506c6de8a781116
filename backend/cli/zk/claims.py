"""What a claim file may hold, read into what the prover takes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from backend.cli.document import read_object
from backend.cli.zk.circuits import Circuit
from backend.cli.zk.examples import signals
from backend.kernel.canonical import decode_bytes, parse_decimal
from backend.kernel.errors import Invalid
from backend.kernel.field import SCALAR_FIELD
from backend.kernel.fixed import PNL_DECIMALS, PRICE_DECIMALS, QUANTITY_DECIMALS, to_units
from backend.proofs.engine.claim import build_claim
from backend.proofs.engine.kept import position_vector
from backend.proofs.engine.returns import universe_id
from backend.proofs.types import Binding, Breach, Claim, Limits, Matrix, Positions

READY = {"inputs", "public_inputs"}
PLAIN = {"positions", "salt", "binding", "limits"}
BINDING = ("chain_id", "attestor", "subject", "policy_id", "previous", "log_id", "anchor_index")
RETURNS = {"universe", "epoch", "prices", "returns", "v"}
EPOCH_BITS, PRICE_BITS, ANCHOR_BITS = 64, 32, 64
DIGITS = 78
STATEMENT = ("attestation", "commitment", "universe_hi", "universe_lo", "limit", "es_limit", "r", "z", "e")


@dataclass(frozen=True, slots=True)
class Ready:
    """What the prover is asked; `statement` holds the nine values where they are known."""

    request: dict[str, Any]
    statement: dict[str, str] | None


def read_claim(path: Path, returns: Path | None, circuit: Circuit) -> Ready | Breach:
    """Return the claim of a file, or how it breaks its limits."""
    given = read_object(path)
    if set(given) >= READY:
        return _ready(given, path.name)
    lacking = sorted(PLAIN - set(given))
    if lacking:
        raise Invalid(
            f"{path.name}: a claim holds {', '.join(sorted(PLAIN))}, or {' and '.join(sorted(READY))}; "
            f"{', '.join(lacking)} is missing"
        )
    universe, matrix = read_returns(returns or _named_beside(path, given.get("returns")))
    held = _positions(given, universe, path.name)
    limits, binding = _limits(given["limits"], circuit, path.name), _binding(given["binding"], matrix.epoch, path.name)
    claim = build_claim(binding, held, matrix, limits, circuit.shape)
    if isinstance(claim, Breach):
        return claim
    return Ready({"inputs": signals(claim.inputs), "public_inputs": signals(claim.public_inputs)}, statement_of(claim))


def statement_of(claim: Claim) -> dict[str, str]:
    """Return a claim's nine values by their names."""
    return dict(zip(STATEMENT, (hex(value) for value in claim.statement.values()), strict=True))


def read_returns(path: Path) -> tuple[tuple[str, ...], Matrix]:
    """Return the instruments and the matrix of a returns file."""
    given = read_object(path)
    if set(given) != RETURNS:
        raise Invalid(f"{path.name} is no returns file: it holds {', '.join(sorted(RETURNS))} and nothing else")
    universe, prices, packed = given["universe"], given["prices"], given["returns"]
    if not _is_of(str, universe) or not _is_of(str, prices) or not isinstance(packed, str) or given["v"] != 1:
        raise Invalid(f"{path.name} is no returns file: universe and prices are lists of text, returns is text, v is 1")
    epoch = given["epoch"]
    if type(epoch) is not int or not 0 <= epoch < 1 << EPOCH_BITS:
        raise Invalid(f"{path.name} is no returns file: epoch is an integer below 2^{EPOCH_BITS}")
    try:
        units = tuple(to_units(parse_decimal(price), PRICE_DECIMALS) for price in prices)
        matrix = Matrix(universe_id(universe), epoch, units, decode_bytes(packed))
    except (Invalid, ValueError) as error:
        raise Invalid(f"{path.name} is no returns file: {error}") from error
    if len(units) != len(universe) or not all(0 <= unit < 1 << PRICE_BITS for unit in units):
        raise Invalid(f"{path.name} is no returns file: a price an instrument, each below 2^{PRICE_BITS} x 0.0001 USD")
    return tuple(universe), matrix


def element(value: object, where: str) -> int:
    """Return a number below the field order, given as a JSON integer, decimal or 0x-hex text."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str) and re.fullmatch(rf"0x[0-9a-fA-F]{{1,64}}|[0-9]{{1,{DIGITS}}}", value):
        number = int(value, 16 if value.startswith("0x") else 10)
    if number is None or not 0 <= number < SCALAR_FIELD:
        raise Invalid(f"{where} is no field element: an integer below {SCALAR_FIELD} as a decimal or 0x-hex text")
    return number


def _is_of(kind: type, value: object) -> bool:
    return isinstance(value, list) and all(isinstance(part, kind) for part in value)


def _ready(given: Mapping[str, Any], name: str) -> Ready:
    inputs, public = given["inputs"], given["public_inputs"]
    if not isinstance(inputs, dict) or not isinstance(public, list):
        raise Invalid(f"{name}: inputs is an object of signals, public_inputs a list")
    asked = {signal: _nested(value, f"{name}: inputs.{signal}") for signal, value in inputs.items()}
    shown = [str(element(value, f"{name}: public_inputs[{place}]")) for place, value in enumerate(public)]
    return Ready({"inputs": asked, "public_inputs": shown}, None)


def _named_beside(path: Path, name: object) -> Path:
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise Invalid(f"{path.name} names no returns file: add --returns FILE")
    return path.parent / name


def _nested(value: object, where: str) -> str | list[Any]:
    if isinstance(value, list):
        return [_nested(part, f"{where}[{place}]") for place, part in enumerate(value)]
    return str(element(value, where))


def _positions(given: Mapping[str, Any], universe: Sequence[str], name: str) -> Positions:
    positions = _object(given["positions"], f"{name}: positions")
    holdings = {
        ticker: _units(shares, QUANTITY_DECIMALS, f"{name}: positions.{ticker}") for ticker, shares in positions.items()
    }
    quantities = position_vector(universe, holdings)
    if isinstance(quantities, list):
        raise Invalid(
            f"{name}: {', '.join(quantities)} cannot be committed to: hold what is among {', '.join(universe)}, "
            "each below 2^40 millionths"
        )
    return Positions(element(given["salt"], f"{name}: salt"), quantities)


def _limits(given: object, circuit: Circuit, name: str) -> Limits:
    limits = _object(given, f"{name}: limits")
    allowed = {"var_usd", "es_usd"} if circuit.shape.expected_shortfall else {"var_usd"}
    if set(limits) != allowed:
        raise Invalid(f"{name}: the limits of {circuit.name} are {' and '.join(sorted(allowed, reverse=True))}")
    units = {key: _units(value, PNL_DECIMALS, f"{name}: limits.{key}") for key, value in limits.items()}
    above = 1 << circuit.shape.limit_bits
    for key, value in units.items():
        if not 0 <= value < above:
            raise Invalid(f"{name}: limits.{key} is not between 0 and {above // 10**PNL_DECIMALS:,} USD")
    return Limits(units["var_usd"], units.get("es_usd", 0))


def _binding(given: object, epoch: int, name: str) -> Binding:
    binding = _object(given, f"{name}: binding")
    if set(binding) != set(BINDING):
        raise Invalid(f"{name}: a binding holds {', '.join(BINDING)}; the epoch is the returns file's")
    where = f"{name}: binding."
    anchor_index = element(binding["anchor_index"], where + "anchor_index")
    if anchor_index >= 1 << ANCHOR_BITS:
        raise Invalid(f"{where}anchor_index is not below 2^{ANCHOR_BITS}")
    return Binding(
        chain_id=element(binding["chain_id"], where + "chain_id"),
        attestor=_bytes(binding["attestor"], 20, where + "attestor"),
        subject=_bytes(binding["subject"], 20, where + "subject"),
        epoch=epoch,
        policy_id=_bytes(binding["policy_id"], 32, where + "policy_id"),
        previous=_bytes(binding["previous"], 32, where + "previous"),
        log_id=_bytes(binding["log_id"], 32, where + "log_id"),
        anchor_index=anchor_index,
    )


def _object(given: object, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Invalid(f"{where} is no JSON object")
    return given


def _units(given: object, decimals: int, where: str) -> int:
    if not isinstance(given, int | str) or not re.fullmatch(r"-?[0-9]{1,30}(\.[0-9]{1,16})?", str(given)):
        raise Invalid(f'{where} is no decimal in plain notation, such as "120.5"')
    try:
        return to_units(Decimal(given), decimals)
    except Invalid as error:
        raise Invalid(f"{where}: {error.detail}") from error


def _bytes(given: object, length: int, where: str) -> bytes:
    if not isinstance(given, str) or not re.fullmatch(f"0x[0-9a-fA-F]{{{2 * length}}}", given):
        raise Invalid(f"{where} is no 0x and {2 * length} hex digits")
    return bytes.fromhex(given[2:])
