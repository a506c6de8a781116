"""How an audit's findings are printed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backend.cli.display import checks_table
from backend.cli.site import printable
from backend.transparency.engine.findings import Finding, exit_code


def show_findings(findings: Sequence[Finding], facts: Mapping[str, Any], *, as_json: bool) -> int:
    """Print one line a check and return the exit status."""
    code = exit_code(findings)
    failed = ", ".join(finding.name for finding in findings if finding.result == "fail")
    passed = sum(finding.result == "pass" for finding in findings)
    verdict = f"refused: {failed}" if failed else f"{passed} of {len(findings)} checks passed, none failed"
    if code == 3:
        verdict = f"unreachable: {verdict}"
    checks = [asdict(finding) | {"detail": printable(finding.detail)} for finding in findings]
    if as_json:
        typer.echo(json.dumps({"ok": code == 0, "verdict": verdict, **facts, "checks": checks}, indent=1))
    else:
        console = Console(highlight=False)
        console.print(checks_table([{name: str(value) for name, value in check.items()} for check in checks]))
        console.print(verdict, soft_wrap=True, markup=False)
    return code


def progress() -> Progress:
    """Return a progress bar on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
