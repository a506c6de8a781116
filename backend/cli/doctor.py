"""Says what this machine lacks and how to get it."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from backend.cli.local import ANVIL, APE, ROOT

MINIMUM_NODE = 20
CIRCUIT = "var_16_90_es"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `need` says whether the demo runs without it."""

    name: str
    need: Literal["required", "optional"]
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is there."""
        return not self.remedy


def _python() -> Finding:
    here = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Finding("Python", "required", here, "" if good else "install Python 3.11 or 3.12")


def _node() -> Finding:
    node = shutil.which("node")
    if node is None:
        return Finding("Node", "required", "missing", f"install Node {MINIMUM_NODE} or newer with npm")
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    good = found.removeprefix("v").split(".")[0].isdigit() and int(found[1:].split(".")[0]) >= MINIMUM_NODE
    return Finding("Node", "required", found, "" if good else f"install Node {MINIMUM_NODE} or newer")


def _package(name: str) -> Finding:
    try:
        return Finding(f"package {name}", "required", version(name))
    except PackageNotFoundError:
        return Finding(f"package {name}", "required", "missing", "run `make setup`")


def _file(name: str, path: Path, remedy: str) -> Finding:
    shown = str(path.relative_to(ROOT))
    there = path.is_file() or (path.is_dir() and any(path.iterdir()))
    return Finding(name, "required", shown if there else "missing", "" if there else remedy)


def _program(name: str, purpose: str, remedy: str) -> Finding:
    found = shutil.which(name)
    return Finding(f"{name} ({purpose})", "optional", found or "missing", "" if found else remedy)


def _watcher() -> Finding:
    """Look at the watching of the rules of the deployment that runs here, where one does."""
    from backend.cli.session import running_settings

    settings = running_settings()
    if settings is None:
        return Finding("watching of the rules", "optional", "nothing runs here")
    from backend.cli.compliance.status import told_watching, watching
    from backend.kernel.errors import RefiError

    try:
        shown = watching()
    except RefiError as fault:
        return Finding("watching of the rules", "optional", "unknown", fault.detail)
    remedy = "" if shown["fresh"] else "start `python -m oracle.compliance_watcher`"
    return Finding("watching of the rules", "optional", told_watching(shown)[0], remedy)


def examine() -> list[Finding]:
    """Return every finding, required ones first."""
    return [
        _python(),
        _node(),
        *(_package(name) for name in ("web3", "siwe", "fastapi", "torch", "py-ecc", "groth16py")),
        _file("anvil", ANVIL, "run `make setup`"),
        _file("Ape", APE, "run `make setup`"),
        _file("contract build", ROOT / ".refi" / "forge", "run `make build`"),
        _file("proving key", ROOT / ".refi" / "zk" / CIRCUIT / "counts.json", "run `make build`"),
        _watcher(),
        _program("redis-server", "tests of the queue", "Debian: apt-get install redis-server"),
    ]
