"""Arguments that several groups of verbs take."""

import re
from typing import Annotated

import typer


def wallet(address: str) -> str:
    """Return an address that is one."""
    if re.fullmatch(r"0x[0-9a-fA-F]{40}", address) is None:
        raise typer.BadParameter(f"{address!r} is no wallet: 0x and 40 hex digits")
    return address


def model_hash(sha256: str) -> str:
    """Return a model's hash, or nothing for a person."""
    if sha256 and re.fullmatch(r"[0-9a-f]{64}", sha256) is None:
        raise typer.BadParameter(f"{sha256!r} is no sha256: 64 hex digits")
    return sha256


Address = Annotated[str, typer.Argument(help="A wallet, 0x and 40 hex digits.", callback=wallet)]
