"""What the DAO has decided, as far as trading must know it, and what it is asked to decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from backend.ports.chain import Receipt


class ModelState(IntEnum):
    """The states of ModelRegistry."""

    NONE = 0
    PROPOSED = 1
    APPROVED = 2
    PRODUCTION = 3
    RETIRED = 4
    REVOKED = 5


class Governance(Protocol):
    """Reads the model registry."""

    async def model_state(self, model_sha256: str) -> ModelState:
        """Return the on-chain state of a model."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a proposal: the address called (lower-case 0x-hex), wei sent along, and its data."""

    target: str
    value: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Argument:
    """A decoded argument: its name, Solidity type and value as text."""

    name: str
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A call as the ABI of a known contract reads it.

    is_whole is false where the data is not exactly what its arguments encode to: something else rides along.
    inner are calls that this one carries in its arguments.
    """

    contract: str
    function: str
    signature: str
    arguments: tuple[Argument, ...]
    is_whole: bool
    inner: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposed:
    """A proposal as the governor announced it; bytes of the text that are not UTF-8 are kept as surrogates."""

    number: int
    proposer: str
    calls: tuple[Call, ...]
    description: str
    opens_at: int
    closes_at: int
    block_number: int
    tx_hash: str


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote that was cast: support is 0 against, 1 for, 2 abstain; weight in votes with 18 decimals."""

    voter: str
    support: int
    weight: int
    reason: str
    tx_hash: str


class Contracts(Protocol):
    """Encodes and decodes calls by the ABIs of a deployment."""

    def target(self, name_or_address: str) -> str:
        """Return an address, lower-case; raise Invalid that names the contracts there are."""
        ...

    def name_at(self, address: str) -> str:
        """Return the name of the contract at an address, empty when it is none of the deployment's."""
        ...

    def encode(self, target: str, function: str, arguments: Sequence[Any]) -> bytes:
        """Return the data of a call.

        function is a name that the target's ABI knows, or a whole signature; arguments are texts or JSON values. Raise
        Invalid that says what the target takes.
        """
        ...

    def decode(self, call: Call) -> Decoded | None:
        """Return what a call does, None where the contract or its function is not known."""
        ...


class Votes(Protocol):
    """Reads proposals and ballots from the governor's events, and brings a wallet's transactions onto the chain."""

    async def proposals(self) -> Sequence[Proposed]:
        """Return every proposal, oldest first; raise Tampered where one does not hash to its id."""
        ...

    async def ballots(self, number: int) -> Sequence[Ballot]:
        """Return the votes on a proposal, oldest first."""
        ...

    async def gas(self, sender: str, call: Call) -> int:
        """Return the gas that a call needs now; raise Reverted where it would fail."""
        ...

    async def prepared(self, sender: str, call: Call) -> Mapping[str, Any]:
        """Return a whole transaction, nonce and fees too, for the sender's key to sign."""
        ...

    async def broadcast(self, raw: bytes) -> Receipt:
        """Hand a signed transaction in and wait until it is mined; raise Conflict where it failed."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...
