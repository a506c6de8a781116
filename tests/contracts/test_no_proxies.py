"""No contract lets its code or its makers' choices be made again: there are constructors and no initialisers."""

from pathlib import Path
from typing import Any

import pytest
from hexbytes import HexBytes

from backend.cli.local import ROOT
from scripts.local_node import artifact

CONTRACTS = ROOT / "contracts"
SOURCES = sorted(
    path
    for folder in ("anchor", "compliance", "governance", "risk", "verifiers")
    for path in (CONTRACTS / folder).rglob("*.sol")
)
PUSH1, PUSH32, INVALID = 0x60, 0x7F, 0xFE
BORROWS = {0xF2: "CALLCODE", 0xF4: "DELEGATECALL", 0xFF: "SELFDESTRUCT"}
AGAIN = ("initialize", "reinitialize", "upgradeTo", "setImplementation", "changeAdmin")


def borrowed(code: bytes) -> set[str]:
    """Return the operations that run another's code in a contract's place, or end it."""
    found, place = set(), 0
    # The compiler puts its tables of constants behind the code, with an invalid operation between them.
    while place < len(code) and (operation := code[place]) != INVALID:
        if operation in BORROWS:
            found.add(BORROWS[operation])
        place += operation - PUSH1 + 2 if PUSH1 <= operation <= PUSH32 else 1
    return found


def repeated(abi: list[dict[str, Any]]) -> list[str]:
    """Return the functions that would make a contract anew."""
    names = (part["name"] for part in abi if part["type"] == "function")
    return [name for name in names if name.startswith(AGAIN)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_nothing_can_be_initialised_again_or_run_other_code_in_its_place(source: Path) -> None:
    made = artifact(source.stem)

    assert repeated(made["abi"]) == []
    assert borrowed(bytes(HexBytes(made["deployedBytecode"]["object"]))) == set()


def test_a_proxy_would_be_seen() -> None:
    assert borrowed(bytes.fromhex("363d3d373d3d3d363d73" + "be" * 20 + "5af43d82803e903d91602b57fd5bf3")) == {
        "DELEGATECALL"
    }
    assert borrowed(bytes.fromhex("60f473" + "f4" * 20 + "00")) == set()
    assert repeated([{"type": "function", "name": "initialize"}, {"type": "error", "name": "initialize"}]) == [
        "initialize"
    ]
