"""The L2 as the platform sees it: named contracts that are called and sent to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backend.kernel.errors import Conflict
from backend.ports.signer import KeyRole

# A block's number, its 0x-hash, or one of the tags "latest", "safe" and "finalized".
BlockId = int | str


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number, hash (0x-hex) and time (seconds since 1970)."""

    number: int
    hash: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction; gas in units, hashes in 0x-hex."""

    tx_hash: str
    block_number: int
    block_hash: str
    gas_used: int
    logs: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """What a contract left in a block: its name or address, the event's name ("" where its ABI does not know it)."""

    address: str
    contract: str
    event: str
    arguments: Mapping[str, Any]
    block_number: int
    block_hash: str
    tx_hash: str


class Reverted(Conflict):
    """A contract said no with a named error."""

    code = "reverted"

    def __init__(self, name: str, arguments: Sequence[Any] = ()) -> None:
        super().__init__(f"the contract reverted with {name}({', '.join(map(str, arguments))})")
        self.name = name
        self.arguments = tuple(arguments)


class Chain(Protocol):
    """Calls and transactions by contract name, as deployments/<network>/*.json lists them.

    "Name@0x..." is the contract at that address, asked as the named one is.
    Raises Unavailable when the RPC does not answer, Reverted when a contract refuses, NotFound for an unknown contract.
    """

    async def chain_id(self) -> int:
        """Return the chain id that the RPC reports."""
        ...

    def address(self, contract: str) -> str:
        """Return the contract's address in lower-case 0x-hex."""
        ...

    def calldata(self, contract: str, function: str, *arguments: Any) -> bytes:
        """Return the encoded call: selector and arguments."""
        ...

    def refusal(self, payload: bytes) -> Reverted:
        """Return what the bytes that a contract reverted with say."""
        ...

    async def call(
        self, contract: str, function: str, *arguments: Any, sender: str | None = None, block: BlockId | None = None
    ) -> Any:
        """Return what a view function answers, at the latest block unless one is named."""
        ...

    async def send(self, role: KeyRole, contract: str, function: str, *arguments: Any) -> Receipt:
        """Send a transaction signed by the role's key, wait for it to be mined and return its receipt.

        After Unavailable the transaction may still be mined; asking for the same call again takes it up instead of
        sending a second one.
        """
        ...

    async def block(self, block: BlockId | None = None) -> Block:
        """Return a block, the latest unless one is named; NotFound when the chain has no such block (yet)."""
        ...

    async def events(
        self,
        contract: str,
        event: str,
        *,
        from_block: int = 0,
        to_block: int | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Return decoded events, oldest first: their arguments and block_number, tx_hash."""
        ...

    async def logs(self, contracts: Sequence[str], *, from_block: int, to_block: int) -> list[Log]:
        """Return everything that contracts, by name or address, left in these blocks, oldest first, in one question."""
        ...

    async def advance_to(self, timestamp: int) -> Block:
        """Mine a block at the given time; local chains only, Conflict elsewhere or when it lies in the past."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...
