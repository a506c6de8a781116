"""Make a proof from a claim file, and verify one."""

import json
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from backend.cli.document import read_object
from backend.cli.zk.circuits import Circuit, require_key
from backend.cli.zk.claims import STATEMENT, element, read_claim, read_returns
from backend.cli.zk.process import PROVER, Answer, Progress, ask
from backend.kernel.canonical import decimal_string
from backend.kernel.errors import Invalid
from backend.kernel.field import limbs
from backend.proofs.engine.claim import fold, public_inputs
from backend.proofs.engine.returns import unpack_returns
from backend.proofs.types import Breach, Statement

ENGINES = ("groth16py", "snarkjs")
PROOF_BYTES = 256


def prove(
    circuit: Circuit, folder: Path, claim: Path, returns: Path | None, progress: Progress, *, engine: str = ENGINES[0]
) -> Answer:
    """Return a verified proof of a claim; its `outcome` is proved, breach or refused."""
    require_key(circuit, folder)
    asked = read_claim(claim, returns, circuit)
    if isinstance(asked, Breach):
        return {"outcome": "breach", "circuit": circuit.name} | {
            name: decimal_string(value) for name, value in asdict(asked).items() if value is not None
        }
    options = ("--folder", folder, "--engine", engine)
    answer = ask(PROVER, "prove", circuit.name, *options, request=asked.request, progress=progress)
    if "refused" in answer:
        return {"outcome": "refused", "circuit": circuit.name, "reason": answer["refused"]}
    key = _key(circuit, folder)
    made = {"outcome": "proved", "circuit": circuit.name, **key, "statement": asked.statement, **answer}
    return {name: value for name, value in made.items() if value is not None}


def told(answer: Answer) -> str:
    """Return the outcome of a proof in words."""
    if answer["outcome"] == "proved":
        return f"proved in {answer['cpu_seconds']:.2f} CPU seconds"
    if answer["outcome"] == "refused":
        return f"no proof: {answer['reason']}"
    broken = [
        f"{name} {Decimal(answer[measure]):,.2f} USD exceeds the limit {Decimal(answer[limit]):,.2f} USD"
        for name, measure, limit in (("VaR", "var", "limit"), ("expected shortfall", "es", "es_limit"))
        if measure in answer and Decimal(answer[measure]) > Decimal(answer[limit])
    ]
    return f"breach: {' and '.join(broken)}: there is nothing to prove"


def verify(circuit: Circuit, folder: Path, file: Path, returns: Path | None, *, engine: str = ENGINES[0]) -> Answer:
    """Return whether a proof holds for the circuit's key, and whether its fold is that of the returns file."""
    require_key(circuit, folder)
    proof, inputs, statement = _read(circuit, read_object(file), file.name)
    request = {"proof": proof, "public_inputs": [str(value) for value in inputs]}
    options = ("--folder", folder, "--engine", engine)
    answer = ask(PROVER, "verify", circuit.name, *options, request=request, progress=lambda _: None)
    return {
        "circuit": circuit.name,
        "valid": bool(answer["valid"]),
        "fold": _fold(statement, returns, circuit),
        **_key(circuit, folder),
    }


def accepted(answer: Answer) -> bool:
    """Return whether nothing that was checked failed."""
    return bool(answer["valid"]) and answer["fold"] != "fail"


def _fold(statement: Statement | None, returns: Path | None, circuit: Circuit) -> str:
    if returns is None:
        return "skipped: without --returns FILE the proof says nothing about the market data"
    if statement is None:
        raise Invalid("the file holds no statement, so there is no fold to check against --returns")
    _universe, matrix = read_returns(returns)
    rows = unpack_returns(matrix.packed, len(matrix.prices))
    if (len(matrix.prices), len(rows)) != (circuit.shape.instruments, circuit.shape.window):
        raise Invalid(
            f"{returns.name} holds {len(matrix.prices)} instruments and {len(rows)} days: not {circuit.name}'s"
        )
    # The fold holds no names: the same figures under other tickers would fold alike
    same = limbs(matrix.universe_id) == (statement.universe_hi, statement.universe_lo)
    return "pass" if same and fold(matrix.prices, rows, statement.r, statement.z) == statement.e else "fail"


def _read(circuit: Circuit, given: dict[str, Any], name: str) -> tuple[str, list[int], Statement | None]:
    """Return proof, public inputs and statement of a proof's file or of an evidence pack."""
    if "entries" in given:
        if "var" not in given:
            raise Invalid(f"{name} is an evidence pack without a VaR attestation")
        claim = given["var"] if isinstance(given["var"], dict) else {}
        stated = claim.get("public_inputs")
        if not isinstance(stated, list) or len(stated) != len(STATEMENT):
            raise Invalid(f"{name}: var.public_inputs of an evidence pack are {', '.join(STATEMENT)}")
        given = {"proof": claim.get("proof"), "statement": dict(zip(STATEMENT, stated, strict=True))}
    if given.get("circuit", circuit.name) != circuit.name:
        raise Invalid(f"{name} holds a proof of {given['circuit']}, not of {circuit.name}")
    statement = _statement(given.get("statement"), name)
    inputs = given.get("public_inputs")
    if inputs is None and statement is None:
        raise Invalid(f"{name} is no proof: it holds proof and public_inputs, or is an evidence pack")
    if inputs is not None and not isinstance(inputs, list):
        raise Invalid(f"{name}: public_inputs is a list")
    values = [element(value, f"{name}: public_inputs[{place}]") for place, value in enumerate(inputs or ())]
    if statement is not None:
        if inputs is not None and tuple(values) != public_inputs(statement):
            raise Invalid(f"{name}: the public inputs do not follow from the statement")
        values = list(public_inputs(statement))
    return _proof(given.get("proof"), name), values, statement


def _statement(given: object, name: str) -> Statement | None:
    if given is None:
        return None
    if not isinstance(given, dict) or set(given) != set(STATEMENT):
        raise Invalid(f"{name}: a statement holds {', '.join(STATEMENT)}")
    return Statement(**{key: element(value, f"{name}: statement.{key}") for key, value in given.items()})


def _proof(given: object, name: str) -> str:
    text = str(given).removeprefix("0x")
    try:
        if len(bytes.fromhex(text)) == PROOF_BYTES:
            return "0x" + text
    except ValueError:
        pass
    raise Invalid(f"{name}: a proof is 0x and {2 * PROOF_BYTES} hex digits")


def _key(circuit: Circuit, folder: Path) -> dict[str, Any]:
    meta = json.loads((folder / circuit.name / "meta.json").read_text("utf-8"))
    return {name: meta[name] for name in ("verification_key_hash", "insecure")}
