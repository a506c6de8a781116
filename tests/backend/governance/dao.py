"""The DAO's events and contracts for tests without a chain."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.kernel.errors import Conflict
from backend.ports.chain import Receipt
from backend.ports.governance import Ballot, Call, Proposed


class FakeVotes:
    """Holds proposals and ballots; every transaction needs the same gas."""

    def __init__(self) -> None:
        self.made: list[Proposed] = []
        self.cast: dict[int, list[Ballot]] = {}
        self.refusal: Exception | None = None

    async def proposals(self) -> Sequence[Proposed]:
        """Return what a test put there."""
        return list(self.made)

    async def ballots(self, number: int) -> Sequence[Ballot]:
        """Return what a test put there."""
        return self.cast.get(number, [])

    async def gas(self, sender: str, call: Call) -> int:
        """Return some gas, or refuse as the chain would."""
        del sender, call
        if self.refusal is not None:
            raise self.refusal
        return 90_000

    async def prepared(self, sender: str, call: Call) -> Mapping[str, Any]:
        """Prepare nothing."""
        raise Conflict(f"{sender} signs nothing here: {call.target}")

    async def broadcast(self, raw: bytes) -> Receipt:
        """Send nothing."""
        raise Conflict(f"{len(raw)} bytes are sent nowhere")

    async def close(self) -> None:
        """Hold nothing."""
