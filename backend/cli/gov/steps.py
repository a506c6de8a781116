"""A step of the DAO: signed by a wallet's key, sent with the operator's, or only written for another wallet."""

import re
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.governance.schemas import TransactionOut
from backend.governance.service import ProposalService
from backend.governance.types import Act, CallSpec
from backend.kernel.errors import Invalid
from backend.ports.signer import KeyRole

if TYPE_CHECKING:
    from backend.bootstrap import Platform

OPERATOR = "operator:cli"
PAID = re.compile(r"value=(\d+)")
HEX_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
FEWEST_DIGITS = 4
LATEST = "latest"

Choose = Callable[[ProposalService, str], Awaitable[Act]]


@dataclass(frozen=True, slots=True)
class Hand:
    """Who takes a step: the wallet of a key file, an address that signs elsewhere, else the operator's key."""

    key_file: Path | None = None
    unsigned_for: str = ""

    def __post_init__(self) -> None:
        if self.key_file is not None and self.unsigned_for:
            raise Invalid("--wallet signs and sends, --unsigned only writes the transaction: choose one")
        if self.key_file is not None:
            _key(self.key_file)

    def sender(self, platform: "Platform") -> str:
        """Return the address that the step comes from."""
        if self.unsigned_for:
            return self.unsigned_for
        if self.key_file is not None:
            return str(_key(self.key_file).address).lower()
        return platform.outside.signer.address(KeyRole.OPERATOR)

    async def take(self, platform: "Platform", act: Act) -> dict[str, Any]:
        """Take a step, or write it down; return what became of it."""
        service: ProposalService = platform.service(ProposalService)
        sender = self.sender(platform)
        if self.unsigned_for:
            unsigned = await service.unsigned(act, sender)
            return {**act.fields, "transaction": TransactionOut.of(unsigned).model_dump(by_alias=True)}
        if self.key_file is not None:
            receipt = await service.send_signed(act, sender, _signer(self.key_file))
        else:
            async with platform.database.transaction() as session:
                receipt = await service.send(session, act, OPERATOR)
        return {**act.fields, "from": sender, "tx_hash": receipt.tx_hash, "block_number": receipt.block_number}


def step(hand: Hand, choose: Choose) -> dict[str, Any]:
    """Take the step that is chosen with the sender known."""
    from backend.cli.session import with_platform

    async def work(platform: "Platform") -> dict[str, Any]:
        act = await choose(platform.service(ProposalService), hand.sender(platform))
        return await hand.take(platform, act)

    return with_platform(work)


def require_number(text: str) -> None:
    """Raise Invalid for what can name no proposal."""
    if text != LATEST and not re.fullmatch(rf"\d{{{FEWEST_DIGITS},78}}", text):
        raise Invalid(f"{text!r} is no proposal: latest, or {FEWEST_DIGITS} or more digits of its number")


async def number_of(service: ProposalService, text: str) -> int:
    """Return the proposal that a number, the beginning of one, or "latest" names; raise Invalid that says what may."""
    if text == LATEST:
        newest = await service.numbers()
        if not newest:
            raise Invalid("no proposal has been made")
        return newest[-1]
    require_number(text)
    known = [str(number) for number in await service.numbers()]
    found = [number for number in known if number.startswith(text)]
    if len(found) != 1:
        shown = ", ".join(number[:12] for number in found or known) or "none has been made"
        raise Invalid(f"{len(found)} proposals begin with {text}: choose one of {shown}")
    return int(found[0])


def call_of(text: str) -> CallSpec:
    """Return a call: "TARGET FUNCTION ARGUMENT .. [value=WEI]" or "TARGET 0xDATA [value=WEI]"."""
    try:
        words = shlex.split(text)
    except ValueError as malformed:
        raise Invalid(f"the call {text!r} cannot be read: {malformed}") from malformed
    paid = PAID.fullmatch(words[-1]) if words else None
    value = int(paid[1]) if paid else 0
    if paid:
        words.pop()
    match words:
        case [target, data] if HEX_DATA.fullmatch(data):
            return CallSpec(target, data=data, value=value)
        case [target, function, *arguments]:
            return CallSpec(target, function, tuple(arguments), value=value)
        case _:
            raise Invalid(f'a call is "TARGET FUNCTION ARGUMENT .." or "TARGET 0xDATA", not {text!r}')


def sent_line(done: Mapping[str, Any], what: str) -> Sequence[str]:
    """Return what became of a step for people."""
    number = [f"proposal {done['proposal_id']}"] if "proposal_id" in done else []
    if "transaction" in done:
        unsigned = done["transaction"]
        asked = ("to", "data", "value", "chain_id", "from", "gas")
        return [*number, f"to {what}, sign and send:", *(f"  {name:<9} {unsigned[name]}" for name in asked)]
    return [*number, f"{what}: {done['tx_hash']} in block {done['block_number']}, by {done['from']}"]


def _key(key_file: Path) -> Any:
    from eth_account import Account
    from eth_utils.exceptions import ValidationError

    try:
        text = key_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{key_file} cannot be read as a wallet's key") from error
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        raise Invalid(f"{key_file} holds no wallet's key: 64 hex digits")
    if key_file.stat().st_mode & 0o077:
        raise Invalid(f"{key_file} can be read by others: chmod 600 {key_file}")
    try:
        return Account.from_key(text)
    except (ValueError, ValidationError):
        # What they say could quote the key.
        raise Invalid(f"{key_file} holds a number that is no key") from None


def _signer(key_file: Path) -> Callable[[Mapping[str, Any]], bytes]:
    key = _key(key_file)
    return lambda transaction: bytes(key.sign_transaction(dict(transaction)).raw_transaction)
