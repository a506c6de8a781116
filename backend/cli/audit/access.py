"""Which platform is asked, who asks, and which contract the user takes for the platform's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.cli.session import FOLDERS
from backend.cli.site import MIB, Reply, Site
from backend.cli.verify import Trusted, trusted
from backend.kernel.errors import Forbidden, Invalid, NotFound, Unauthorized, Unavailable
from backend.settings import Settings
from backend.transparency.engine.findings import Finding
from backend.transparency.engine.verifier import (
    Failed,
    Reverted,
    Rpc,
    Unreachable,
    keccak256,
    read_pack,
    selector,
    verify,
    words,
)

ANCHORS_BYTES = 64 * MIB
PACK_BYTES = 16 * MIB
CHAIN = "anchors on chain"
ANCHORED = keccak256(b"Anchored(bytes32,uint256,uint64,bytes32,bytes32)")
REFUSALS = {401: Unauthorized, 403: Forbidden, 404: NotFound}


@dataclass(frozen=True, slots=True)
class Names:
    """What the user names: addresses by network or one by one, and RPCs."""

    network: str = ""
    contract: str = ""
    chain_id: int = 0
    rpc: tuple[str, ...] = ()
    attestor: str = ""

    def trusted(self) -> Trusted:
        """Return the addresses."""
        return trusted(Settings().deployments_dir, self.network, self.contract, self.chain_id, self.attestor)


def running_platform(api: str) -> str:
    """Return the platform's address as it is named, else that of the one that runs here, else nothing."""
    from backend.cli.services import Services

    running = [entry for name in FOLDERS for entry in Services(Settings().state_dir / name).running()]
    return api or next((entry.url for entry in running if entry.name == "api"), "")


def platform(api: str) -> str:
    """Return the address of a platform that must be there."""
    if found := running_platform(api):
        return found
    raise Invalid("no platform runs here: name one with --api URL")


def signed_in(api: str, key_file: Path) -> Site:
    """Return the platform as the holder of a wallet's key sees it."""
    from backend.cli.wallets import Wallet

    key = _wallet_key(key_file)
    chain_id = Site(api).expect("/api/v1/log/anchors", ANCHORS_BYTES).document().get("chain_id")
    if not isinstance(chain_id, int):
        raise Unavailable(f"{api} names no chain")
    wallet = Wallet("cli", api.rstrip("/"), chain_id, key)

    def sign_in() -> str:
        wallet.sign_in()
        return wallet.token

    return Site(api, sign_in=sign_in, seconds=60)


def wallet_address(key_file: Path) -> str:
    """Return the address of a wallet's key."""
    return str(_wallet_key(key_file).address)


def granted(reply: Reply) -> Reply:
    """Return an answer that is one; raise what a refusal says otherwise."""
    if reply.ok:
        return reply
    raise REFUSALS.get(reply.status, Unavailable)(reply.said)


def listed_anchors(site: Site) -> list[Mapping[str, Any]]:
    """Return the anchors that the platform lists as mined."""
    listed = site.expect("/api/v1/log/anchors", ANCHORS_BYTES).document().get("anchors")
    if not isinstance(listed, list) or not all(isinstance(anchor, dict) for anchor in listed):
        raise Unavailable(f"{site.base_url} lists no anchors")
    return [anchor for anchor in listed if isinstance(anchor.get("block_number"), int)]


def refusal_of(pack: bytes, named: Trusted) -> str:
    """Return what the verifier refuses of a pack, empty when it passes."""
    report = verify(pack, contract=named.contract, chain_id=named.chain_id)
    return "" if report.exit_code == 0 else report.verdict


def parsed(pack: bytes) -> dict[str, Any] | None:
    """Return a pack that has the format's shape."""
    try:
        return read_pack(pack)
    except Failed:
        return None


@dataclass(frozen=True, slots=True)
class OnChain:
    """A log's anchors as several RPCs tell them alike."""

    named: Trusted
    urls: Sequence[str]

    def skipped(self) -> Finding | None:
        """Say why the chain is not asked."""
        if self.named.contract is None or self.named.chain_id is None:
            return Finding(CHAIN, "skipped", "log not identified")
        return None if self.urls else Finding(CHAIN, "skipped", "no RPC named")

    def count(self, log_id: bytes) -> int:
        """Return how many anchors the contract holds."""
        return int.from_bytes(self._agreed("anchorCount(bytes32)", log_id), "big")

    def words(self, log_id: bytes, indices: Sequence[int]) -> dict[int, bytes]:
        """Return the stored word of each index."""
        return {index: self._agreed("anchorAt(bytes32,uint256)", log_id, index) for index in indices}

    def size(self, log_id: bytes, index: int) -> int:
        """Return an anchor's size as its event tells it; the stored word binds the event."""
        stored = self.words(log_id, [index])[index]
        for url in self.urls:
            data = self._event(url, log_id, index)
            if keccak256(words(log_id, index) + data) != stored:
                raise Unavailable(f"{url} does not tell anchor {index} as the contract holds it")
        return int.from_bytes(data[:32], "big")

    def _event(self, url: str, log_id: bytes, index: int) -> bytes:
        topics = ["0x" + topic.hex() for topic in (ANCHORED, log_id, words(index))]
        query = {"address": str(self.named.contract).lower(), "topics": topics}
        try:
            logs = Rpc(url, 10.0).ask("eth_getLogs", query | {"fromBlock": "0x0", "toBlock": "latest"})
        except Unreachable as silence:
            raise Unavailable(str(silence)) from silence
        data = logs[0].get("data") if isinstance(logs, list) and len(logs) == 1 and isinstance(logs[0], dict) else ""
        if not isinstance(data, str) or not re.fullmatch(r"0x[0-9a-fA-F]{192}", data):
            raise Unavailable(f"{url} tells no event of anchor {index}")
        return bytes.fromhex(data[2:])

    def _agreed(self, signature: str, *arguments: int | bytes) -> bytes:
        answers = {self._ask(url, selector(signature) + words(*arguments)) for url in self.urls}
        if len(answers) != 1:
            raise Unavailable("the RPCs disagree about the contract")
        return answers.pop()

    def _ask(self, url: str, data: bytes) -> bytes:
        try:
            rpc = Rpc(url, 10.0)
            if rpc.quantity("eth_chainId") != self.named.chain_id:
                raise Unavailable(f"{url} is on another chain")
            answer = rpc.call(str(self.named.contract).lower(), data)
        except Unreachable as silence:
            raise Unavailable(str(silence)) from silence
        if isinstance(answer, Reverted) or len(answer) < 32:
            raise Unavailable(f"{url}: the named contract is no AuditAnchor")
        return answer[:32]


def _wallet_key(path: Path) -> Any:
    from eth_account import Account

    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read as a wallet's key") from error
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        raise Invalid(f"{path} holds no wallet's key: 64 hex digits")
    return Account.from_key(text)
