"""Measures circuits and prints what was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.adapters.market_data.replay import SOURCE_NAME
from backend.cli.local import ROOT
from backend.cli.zk.circuits import Circuit, baselines
from backend.cli.zk.examples import example, request
from backend.cli.zk.process import PROVER, Answer, Progress, ask
from backend.kernel.errors import Conflict, Invalid, Unavailable

GAS = "scripts.zk_gas"
ATTESTOR = ROOT / ".refi" / "forge" / "out" / "VarAttestor.sol" / "VarAttestor.json"
README = ROOT / "circuits" / "README.md"
BEGIN, END = "<!-- sizes -->", "<!-- /sizes -->"
MEASURED = ("prove_cpu_seconds", "prove_wall_seconds", "peak_memory_bytes", "verify_ms", "proofs", "verifications")
HEADINGS = ("circuit", "N", "W", "ES", "constraints", "prove CPU s", "peak MB", "verify ms", "attest gas")
MEGABYTE = 10**6


def measured(wanted: Sequence[Circuit], folder: Path, *, baseline: bool, gas: bool, progress: Progress) -> Answer:
    """Return one row a circuit, and how the baselines compare."""
    if gas and not ATTESTOR.is_file():
        raise Unavailable("the contracts are not built: run `make build`, or leave the gas out with --no-gas")
    compared = _baselines_of(wanted) if baseline else []
    costs = [_row(circuit, folder, progress) for circuit in (*wanted, *compared)]
    spent = ask(GAS, folder, *(circuit.name for circuit in wanted), progress=progress) if gas else {}
    rows = [row | spent.get(row["circuit"], {}) for row in costs]
    return {"rows": rows, "ratios": _ratios(rows, compared)}


def plain_table(report: Mapping[str, Any]) -> str:
    """Return a report as lines of text."""
    cells = [HEADINGS, *(_cells(row) for row in report["rows"])]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = ["  ".join(_aligned(line, widths)) for line in cells]
    return "\n".join([*lines, "", *_remarks(report)])


def markdown_table(report: Mapping[str, Any]) -> str:
    """Return a report as Markdown."""
    rows = [f"| {' | '.join(line)} |" for line in (HEADINGS, *(_cells(row) for row in report["rows"]))]
    ruler = "|---" + "|--:" * (len(HEADINGS) - 1) + "|"
    return "\n".join([rows[0], ruler, *rows[1:], "", *(f"- {remark}" for remark in _remarks(report))])


def write_table(report: Mapping[str, Any], readme: Path = README) -> None:
    """Put the table between the markers of the circuits' README."""
    text = readme.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise Conflict(f"{readme.name} holds no place for the table: {BEGIN} and {END}")
    readme.write_text(f"{before}{BEGIN}\n{markdown_table(report)}\n{END}{after}", "utf-8")


def _row(circuit: Circuit, folder: Path, progress: Progress) -> dict[str, Any]:
    def told(stage: str) -> None:
        progress(f"{circuit.name}: {stage}")

    def prover(command: str, asked: Mapping[str, Any] | None = None) -> Answer:
        return ask(PROVER, command, circuit.name, "--folder", folder, request=asked, progress=told)

    prover("setup")
    counts = prover("count")
    cost = prover("measure", request(circuit))
    return {
        "circuit": circuit.name,
        "instruments": circuit.shape.instruments,
        "window": circuit.shape.window,
        "expected_shortfall": circuit.shape.expected_shortfall,
        "constraints": counts["non_linear_constraints"] + counts["linear_constraints"],
        **{name: cost[name] for name in MEASURED},
        "real": example(circuit).market.real,
    }


def _baselines_of(wanted: Sequence[Circuit]) -> list[Circuit]:
    names = {circuit.name for circuit in wanted}
    found = [one for one in baselines().values() if one.of in names]
    if not found:
        raise Invalid(f"a baseline is there for {', '.join(one.of for one in baselines().values())}: name one of them")
    return found


def _ratios(rows: Sequence[Mapping[str, Any]], compared: Sequence[Circuit]) -> list[dict[str, Any]]:
    by_name = {row["circuit"]: row for row in rows}
    return [
        {"baseline": one.name, "of": one.of}
        | {
            name: round(by_name[one.name][name] / by_name[one.of][name], 2)
            for name in ("constraints", "prove_cpu_seconds", "peak_memory_bytes")
        }
        for one in compared
    ]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["circuit"],
        str(row["instruments"]),
        str(row["window"]),
        "yes" if row["expected_shortfall"] else "no",
        f"{row['constraints']:,}",
        f"{row['prove_cpu_seconds']:.2f}",
        f"{row['peak_memory_bytes'] / MEGABYTE:,.0f}",
        f"{row['verify_ms']:.2f}",
        f"{row['gas']:,}" if "gas" in row else "-",
    )


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    (first, *others), (width, *narrow) = line, widths
    return [first.ljust(width), *(cell.rjust(space) for cell, space in zip(others, narrow, strict=True))]


def _remarks(report: Mapping[str, Any]) -> list[str]:
    rows = report["rows"]
    remarks = [
        f"{one['baseline']}, the returns hashed inside, against {one['of']}: {one['constraints']:.1f} times the "
        f"constraints, {one['prove_cpu_seconds']:.1f} times the prove time, "
        f"{one['peak_memory_bytes']:.1f} times the memory."
        for one in report["ratios"]
    ]
    remarks.append(
        f"Constraints: circom2, O2. Prove: CPU seconds of all threads with the witness, median of {rows[0]['proofs']}. "
        "Peak: resident memory of the proving process, key loaded. "
        f"Verify: median of {rows[0]['verifications']}."
    )
    if any("gas" in row for row in rows):
        remarks.append(
            "Gas: the whole first attestation of an account through VarAttestor.attest, without EAS, "
            "as the L2 counts it."
        )
    seeded = [row["circuit"] for row in rows if not row["real"]]
    return [*remarks, f"Market data: {SOURCE_NAME}{'; seeded for ' * bool(seeded)}{', '.join(seeded)}."]
