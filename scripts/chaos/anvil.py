"""A local chain that can be killed and taken up again, with the log's contract on it."""

import asyncio
import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from eth_abi.abi import encode

from backend.adapters.chain.abi import Deployed
from backend.kernel.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]
ARTIFACT = ROOT / ".refi" / "forge" / "out" / "AuditAnchor.sol" / "AuditAnchor.json"
CHAIN_ID = 42069
EPOCH_BLOCKS = 8  # anvil calls this depth safe and twice this depth final
DEEPEST = 10
ETHER = 10**18
START_SECONDS = 20.0
POLL_SECONDS = 0.02


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binary() -> Path:
    """Return the node's program."""
    found = next(iter(sorted((ROOT / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"))), None)
    if found is None or not ARTIFACT.is_file():
        raise Unavailable("anvil or the built contracts are missing: run `make setup build`")
    return found


@dataclass
class Anvil:
    """One node on one port; it mines when told to and writes its state to a file every second."""

    folder: Path
    port: int = field(default_factory=free_port)
    highest: int = 0
    restarted_at: int = 0  # the node has no state from before its last start to go back to
    _process: asyncio.subprocess.Process | None = None
    _client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=10))
    _held: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def url(self) -> str:
        """Where the node listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        """The file that the node writes its state to."""
        return self.folder / "anvil.json"

    async def start(self) -> None:
        """Start the node, from its state where there is one, and wait until it answers."""
        command = [
            str(binary()), "--network", "optimism", "--chain-id", str(CHAIN_ID), "--host", "127.0.0.1",
            "--port", str(self.port), "--no-mining", "--slots-in-an-epoch", str(EPOCH_BLOCKS), "--quiet",
            "--state", str(self.state), "--state-interval", "1",
        ]  # fmt: skip
        with (self.folder / "anvil.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        async with asyncio.timeout(START_SECONDS):
            while not await self._answers():  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(POLL_SECONDS)

    async def _answers(self) -> bool:
        try:
            return bool(await self.rpc("eth_chainId"))
        except Unavailable:
            return False

    async def kill(self) -> None:
        """End the node as a power cut does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def close(self) -> None:
        """End the node for good."""
        await self.kill()
        await self._client.aclose()

    async def rpc(self, method: str, *parameters: object) -> Any:
        """Return what a method of the node answers."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        try:
            answer = (await self._client.post(self.url, json=body)).json()
        except (httpx.HTTPError, json.JSONDecodeError) as silence:
            raise Unavailable(f"the node does not answer: {type(silence).__name__}") from silence
        if "error" in answer:
            raise Unavailable(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    async def height(self) -> int:
        """Return the latest block's number."""
        return int(await self.rpc("eth_blockNumber"), 16)

    async def mine(self, count: int = 1) -> None:
        """Mine blocks; whoever holds the chain still is waited for."""
        for _ in range(count):
            async with self._held:
                await self.rpc("evm_mine")
                height = await self.height()
            self.highest = max(self.highest, height)

    async def reorganise(self, depth: int, *, refill: bool) -> int:
        """Drop the newest blocks, with others in their place or none, never one that was final; return how many."""
        async with self._held:
            height = await self.height()
            depth = max(0, min(depth, height - (self.highest - 2 * EPOCH_BLOCKS) - 1, height - self.restarted_at))
            if depth:
                await self.rpc("anvil_reorg", depth, []) if refill else await self.rpc("anvil_rollback", depth)
        return depth

    async def crash(self, blocks: int) -> int:
        """Kill the node some blocks after it wrote its state and start it from there; return how many it lost."""
        async with self._held:
            since = time.time()
            while self._written() <= since:  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(POLL_SECONDS)
            for _ in range(blocks):
                await self.rpc("evm_mine")
                await asyncio.sleep(POLL_SECONDS)
            before = await self.height()
            self.highest = max(self.highest, before)
            await self.kill()
            await self.start()
            self.restarted_at = await self.height()
            return before - self.restarted_at

    def _written(self) -> float:
        return self.state.stat().st_mtime if self.state.exists() else 0.0

    async def transact(self, data: bytes, to: str | None = None) -> dict[str, Any]:
        """Send a transaction of the node's own first account and mine it."""
        owner = (await self.rpc("eth_accounts"))[0]
        call = {"from": owner, "data": "0x" + data.hex(), "gas": hex(5_000_000)}
        tx_hash = await self.rpc("eth_sendTransaction", call if to is None else {**call, "to": to})
        await self.mine()
        receipt: dict[str, Any] = await self.rpc("eth_getTransactionReceipt", tx_hash)
        if receipt["status"] != "0x1":
            raise Unavailable("a transaction of the setup failed")
        return receipt

    async def deploy(self, origin: str, public_key: bytes, anchorers: list[str], deployments: Path) -> None:
        """Deploy AuditAnchor, register the log with its anchorers and bury both under final blocks.

        The folder for its deployment file is there.
        """
        artifact = json.loads(ARTIFACT.read_text())
        owner = (await self.rpc("eth_accounts"))[0]
        code = bytes.fromhex(artifact["bytecode"]["object"].removeprefix("0x")) + encode(["address"], [owner])
        receipt = await self.transact(code)
        deployed = Deployed("AuditAnchor", receipt["contractAddress"].lower(), tuple(artifact["abi"]), CHAIN_ID)
        facts = {"address": deployed.address, "abi": artifact["abi"], "chain_id": CHAIN_ID}
        (deployments / "AuditAnchor.json").write_text(json.dumps(facts))
        await self.transact(deployed.calldata("registerLog", [origin, public_key, anchorers]), deployed.address)
        for anchorer in anchorers:
            await self.rpc("anvil_setBalance", anchorer, hex(10**6 * ETHER))
        await self.mine(3 * EPOCH_BLOCKS)
