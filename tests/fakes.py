"""Fakes of the ports, passed in by the tests: they keep the ports' promises and can be told to misbehave."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_utils.crypto import keccak
from fastapi import APIRouter, FastAPI, Request, Response
from httpx import ASGITransport, AsyncClient

from backend.kernel.canonical import canonical_json
from backend.kernel.errors import Conflict, NotFound, RefiError, Unavailable
from backend.kernel.merkle import verify_consistency
from backend.kit.problems import error_problem
from backend.pipeline.events import EVENTS
from backend.ports.chain import Block, BlockId, Log, Receipt, Reverted
from backend.ports.journal import Recorded
from backend.ports.signer import KeyRole

EMPTY_WORD = bytes(32)
FIRST_DAY = datetime(2016, 6, 1, 21, 0, tzinfo=UTC)
Answer = Callable[..., Any]


class FakeClock:
    """Both times, moved by hand."""

    def __init__(
        self, wall: datetime = datetime(2026, 11, 20, 10, 0, tzinfo=UTC), business: datetime = FIRST_DAY
    ) -> None:
        self.wall_time = wall
        self.business_time = business

    def wall(self) -> datetime:
        """Return the wall time that was set."""
        return self.wall_time

    def business(self) -> datetime:
        """Return the business time that was set."""
        return self.business_time

    def source(self) -> str:
        """Name a replay."""
        return "replay:0"

    def advance(self, wall: timedelta = timedelta(0), business: timedelta = timedelta(0)) -> None:
        """Move the times forward, or back for a clock that was set wrong."""
        self.wall_time += wall
        self.business_time += business


class FakeSigner:
    """Real keys, made from a seed, that anybody may know."""

    def __init__(self, seed: str = "test") -> None:
        self._log = Ed25519PrivateKey.from_private_bytes(sha256(f"{seed}/log".encode()).digest())
        self._accounts = {role: Account.from_key(sha256(f"{seed}/{role}".encode()).digest()) for role in KeyRole}

    def address(self, role: KeyRole) -> str:
        """Return the role's address."""
        return str(self._accounts[role].address).lower()

    def sign_transaction(self, role: KeyRole, transaction: Mapping[str, Any]) -> bytes:
        """Return the signed raw transaction."""
        return bytes(self._accounts[role].sign_transaction(dict(transaction)).raw_transaction)

    def log_public_key(self) -> bytes:
        """Return the Ed25519 public key."""
        return self._log.public_key().public_bytes_raw()

    def sign_note(self, message: bytes) -> bytes:
        """Return the Ed25519 signature."""
        return self._log.sign(message)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a FakeJournal was told."""

    account: str
    event: str
    fields: Mapping[str, Any]
    actor: str
    policy: str
    ts_event: datetime | None


class FakeJournal:
    """Remembers in a list; refuses what canonical JSON refuses."""

    def __init__(self) -> None:
        self.records: list[Remembered] = []

    async def record(
        self,
        session: Any,
        account: str,
        event: str,
        fields: Mapping[str, Any],
        *,
        actor: str,
        policy: str,
        ts_event: datetime | None = None,
    ) -> Recorded:
        """Remember a record; only what the table of events knows."""
        del session
        assert EVENTS[event].allows(account, fields), f"{event} of {account} is not in the table: {sorted(fields)}"
        seq = 1 + sum(remembered.account == account for remembered in self.records)
        commitment = sha256(canonical_json({**fields, "event": event, "account": account, "seq": seq})).digest()
        self.records.append(Remembered(account, event, dict(fields), actor, policy, ts_event))
        return Recorded(len(self.records), account, seq, commitment)

    def events(self) -> list[str]:
        """Return the events in order."""
        return [remembered.event for remembered in self.records]


@dataclass(slots=True)
class FakeLog:
    """A log that AuditAnchor knows, with what it stored, in which block, and the heads behind it."""

    anchorers: set[str]
    heads: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    words: list[bytes] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)


class FakeChain:
    """An L2 in memory whose AuditAnchor checks what the contract checks; other contracts answer what a test sets."""

    def __init__(self, signer: FakeSigner | None = None, chain_id: int = 42069, now: int = 1_464_000_000) -> None:
        self.signer = signer or FakeSigner()
        self.id = chain_id
        self.answers: dict[tuple[str, str], Answer] = {}
        self.sent: list[tuple[KeyRole, str, str, tuple[Any, ...]]] = []
        self.called: list[tuple[str, str, tuple[Any, ...], str | None, BlockId | None]] = []
        self.tags: dict[str, int] = {}
        self.anchored: dict[bytes, FakeLog] = {}
        self.blocks = [Block(0, _hex(b"block", 0), now)]
        self.emitted: list[tuple[str, str, dict[str, Any]]] = []
        self.down = False
        self.lose_receipts = 0

    def answer(self, contract: str, function: str, answer: Answer) -> None:
        """Let a contract's function answer; the callable gets the arguments and may raise Reverted."""
        self.answers[contract, function] = answer

    def emit(self, contract: str, event: str, **arguments: Any) -> None:
        """Add an event to the latest block."""
        self.emitted.append(
            (
                contract,
                event,
                {**arguments, "block_number": self.blocks[-1].number, "tx_hash": _hex(b"tx", len(self.sent))},
            )
        )

    def register_log(self, origin: str, public_key: bytes, anchorers: Sequence[str] = ()) -> bytes:
        """Register a log as AuditAnchor's owner would and return its id."""
        identity = abi_encode(
            ["string", "bytes32", "uint256", "address"], [origin, public_key, self.id, self.address("AuditAnchor")]
        )
        log_id = bytes(keccak(identity))
        self.anchored[log_id] = FakeLog(set(anchorers) or {self.signer.address(KeyRole.ANCHORER)})
        return log_id

    def drop_anchors(self, log_id: bytes, count: int) -> None:
        """Forget a log's newest anchors, as a reorganised chain does."""
        log = self.anchored[log_id]
        keep = len(log.words) - count
        del log.words[keep:], log.heads[keep:], log.blocks[keep:]
        last = self.blocks[-1]
        self.blocks[-1] = Block(last.number, _hex(b"reorganised", len(self.sent)), last.timestamp)
        self.emitted = [
            (contract, event, arguments)
            for contract, event, arguments in self.emitted
            if event != "Anchored" or arguments["logId"] != log_id or arguments["index"] < keep
        ]

    async def close(self) -> None:
        """Hold nothing."""

    async def chain_id(self) -> int:
        """Return the chain id."""
        self._answering()
        return self.id

    def address(self, contract: str) -> str:
        """Return an address made from the contract's name, or the one in "Name@0x..."."""
        if "@" in contract:
            return contract.partition("@")[2]
        return "0x" + sha256(contract.encode()).hexdigest()[:40]

    def calldata(self, contract: str, function: str, *arguments: Any) -> bytes:
        """Return bytes that name the call."""
        return bytes(keccak(text=f"{contract}.{function}"))[:4] + repr(arguments).encode()

    def refusal(self, payload: bytes) -> Reverted:
        """Return an error of the name that the bytes spell."""
        return Reverted(payload.decode())

    async def call(
        self, contract: str, function: str, *arguments: Any, sender: str | None = None, block: BlockId | None = None
    ) -> Any:
        """Answer a view."""
        self._answering()
        self.called.append((contract, function, arguments, sender, block))
        answer = self.answers.get((contract, function)) or self.answers.get((contract.partition("@")[0], function))
        if answer is not None:
            return answer(*arguments)
        if contract != "AuditAnchor":
            raise NotFound(f"no contract {contract}")
        log = self.anchored.get(arguments[0])
        match function:
            case "anchorCount":
                known = (await self.block(block)).number
                return sum(number <= known for number in log.blocks) if log else 0
            case "anchorAt":
                if log is None or arguments[1] >= len(log.words):
                    raise Reverted("UnknownAnchor", arguments)
                return log.words[arguments[1]]
            case "isAnchorer":
                return log is not None and arguments[1] in log.anchorers
            case _:
                raise NotFound(f"no function {function}")

    async def send(self, role: KeyRole, contract: str, function: str, *arguments: Any) -> Receipt:
        """Mine a transaction; a lost receipt is one whose effect stands although the answer never came."""
        self._answering()
        self.sent.append((role, contract, function, arguments))
        self._mine(self.blocks[-1].timestamp + 2)
        if (contract, function) in self.answers:
            self.answers[contract, function](*arguments)
        elif (contract, function) == ("AuditAnchor", "anchor"):
            self._anchor(self.signer.address(role), *arguments)
        else:
            raise NotFound(f"no function {contract}.{function}")
        if self.lose_receipts:
            self.lose_receipts -= 1
            raise Unavailable("the RPC did not answer")
        latest = self.blocks[-1]
        return Receipt(_hex(b"tx", len(self.sent)), latest.number, latest.hash, 80_000)

    async def block(self, block: BlockId | None = None) -> Block:
        """Return a block; "safe" and "finalized" are where a test put them in `tags`."""
        self._answering()
        if block in {None, "latest"}:
            return self.blocks[-1]
        place = self.tags.get(block, -1) if isinstance(block, str) and not block.startswith("0x") else block
        for found in self.blocks:
            if place in {found.number, found.hash}:
                return found
        raise NotFound(f"no block {block}")

    async def events(
        self,
        contract: str,
        event: str,
        *,
        from_block: int = 0,
        to_block: int | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Return the emitted events that match."""
        self._answering()
        wanted = dict(filters or {})
        return [
            arguments
            for emitter, name, arguments in self.emitted
            if (emitter, name) == (contract, event)
            and from_block <= arguments["block_number"] <= (self.blocks[-1].number if to_block is None else to_block)
            and all(arguments[key] == value for key, value in wanted.items())
        ]

    async def logs(self, contracts: Sequence[str], *, from_block: int, to_block: int) -> list[Log]:
        """Return the emitted events of contracts; one that is named by an address emits under that name."""
        self._answering()
        asked = {name.lower() if name.startswith("0x") else self.address(name) for name in contracts}
        hashes = {block.number: block.hash for block in self.blocks}
        found = []
        for contract, event, emitted in self.emitted:
            address = contract if contract.startswith("0x") else self.address(contract)
            if address in asked and from_block <= emitted["block_number"] <= to_block:
                arguments = dict(emitted)
                number, tx_hash = arguments.pop("block_number"), arguments.pop("tx_hash")
                found.append(Log(address, contract, event, arguments, number, hashes[number], tx_hash))
        return found

    async def advance_to(self, timestamp: int) -> Block:
        """Mine a block at a time that lies ahead."""
        if timestamp <= self.blocks[-1].timestamp:
            raise Conflict("the chain's clock only moves forward")
        return self._mine(timestamp)

    def _answering(self) -> None:
        if self.down:
            raise Unavailable("the RPC does not answer")

    def _mine(self, timestamp: int) -> Block:
        self.blocks.append(Block(len(self.blocks), _hex(b"block", len(self.blocks)), timestamp))
        return self.blocks[-1]

    def _anchor(
        self,
        sender: str,
        log_id: bytes,
        previous: tuple[int, bytes, bytes],
        following: tuple[int, bytes, bytes],
        proof: Sequence[bytes],
    ) -> None:
        log = self.anchored.get(log_id)
        if log is None or sender not in log.anchorers:
            raise Reverted("NotAnchorer", (log_id, sender))
        last = log.heads[-1] if log.heads else (0, EMPTY_WORD, EMPTY_WORD)
        if tuple(previous) != last:
            raise Reverted("WrongPrevious", (log_id,))
        if following[0] <= last[0]:
            raise Reverted("SizeNotRising", (last[0], following[0]))
        if (proof or last[0]) and not verify_consistency(last[0], last[1], following[0], following[1], proof):
            raise Reverted("Inconsistent", (last[0], following[0]))
        index = len(log.words)
        types = ["bytes32", "uint256", "uint64", "bytes32", "bytes32"]
        log.words.append(bytes(keccak(abi_encode(types, [log_id, index, *following]))))
        size, root, heads_root = following
        log.heads.append((size, root, heads_root))
        log.blocks.append(self.blocks[-1].number)
        self.emit("AuditAnchor", "Anchored", logId=log_id, index=index, size=size, root=root, headsRoot=heads_root)


def _hex(kind: bytes, number: int) -> str:
    return "0x" + sha256(kind + number.to_bytes(8, "big")).hexdigest()


def serve(services: Mapping[type[Any], Any], *routers: APIRouter) -> FastAPI:
    """Return an app with nothing but the routers, the services they ask for and the error handler."""
    app = FastAPI()
    app.state.services = dict(services)
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(RefiError, _problem)
    return app


def client_of(app: FastAPI) -> AsyncClient:
    """Return a client that talks to an app in this process."""
    return AsyncClient(transport=ASGITransport(app=app), base_url="http://refi.test")


async def _problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RefiError):
        raise error
    return error_problem(error)
