"""Asks the PolicyEngine on the L2 whether an order may pass, without sending anything."""

import hashlib
from collections.abc import Sequence

from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Invalid, NotFound
from backend.kernel.fixed import NOTIONAL_DECIMALS, to_units
from backend.ports.chain import Block, Chain, Reverted
from backend.ports.policy import OrderCheck, Verdict

ENGINE = "PolicyEngine"
TARGET = "OrderGate"
FUNCTION = "submitOrder"
POLICIES = (
    "AuthorizedSenderPolicy",
    "PausePolicy",
    "CredentialValidatorPolicy",
    "VolumePolicy",
    "ApprovedModelPolicy",
)
NO_MODEL = bytes(32)


class EnginePolicy:
    """Calls `PolicyEngine.check` with the OrderGate as the caller and the relay as the payload's sender."""

    def __init__(self, chain: Chain, relay: str) -> None:
        self._chain = chain
        self._relay = relay.lower()

    async def check(self, order: OrderCheck) -> Verdict:
        """Return the verdict for one order at the latest block."""
        call = order_calldata(self._chain, order)
        block = await self._chain.block()
        payload = (call[:4], self._relay, call[4:], b"")
        target = self._chain.address(TARGET)
        try:
            await self._chain.call(ENGINE, "check", payload, sender=target, block=block.number)
        except Reverted as refusal:
            return self._verdict(call, block, refusal)
        return self._verdict(call, block, None)

    async def check_all(self, orders: Sequence[OrderCheck]) -> Sequence[Verdict]:
        """Return the verdicts one after the other."""
        return [await self.check(order) for order in orders]

    async def version(self) -> str:
        """Return what identifies the rules in force: the engine's address, at the latest block."""
        return f"policy-engine:{self._chain.address(ENGINE)}@latest"

    def _verdict(self, call: bytes, block: Block, refusal: Reverted | None) -> Verdict:
        policy, reason = ("", "") if refusal is None else self._why(refusal)
        return Verdict(
            allowed=refusal is None,
            engine=self._chain.address(ENGINE),
            target=self._chain.address(TARGET),
            sender=self._relay,
            selector="0x" + call[:4].hex(),
            calldata_sha256=encode_bytes(hashlib.sha256(call).digest()),
            block_number=block.number,
            block_hash=block.hash,
            policy=policy,
            reason=reason,
        )

    def _why(self, refusal: Reverted) -> tuple[str, str]:
        arguments: Sequence[object] = refusal.arguments
        match refusal.name:
            case "PolicyRunRejected":
                return self._name(str(arguments[0])), str(arguments[1])
            case "PolicyRunError" | "PolicyMapperError" | "ExtractorError":
                return self._name(str(arguments[0])), refusal.name
            case _:
                return ENGINE, refusal.name

    def _name(self, address: str) -> str:
        if int(address, 16) == 0:
            return ENGINE
        for name in POLICIES:
            try:
                if self._chain.address(name) == address.lower():
                    return name
            except NotFound:
                continue
        return address.lower()


def order_calldata(chain: Chain, order: OrderCheck) -> bytes:
    """Return the call that a relay would send to OrderGate for this order."""
    return chain.calldata(
        TARGET,
        FUNCTION,
        order.subject,
        instrument_word(order.instrument),
        to_units(order.notional, NOTIONAL_DECIMALS),
        NO_MODEL if order.model_sha256 is None else bytes.fromhex(order.model_sha256),
    )


def instrument_word(instrument: str) -> bytes:
    """Return a ticker's ASCII, padded with zeros on the right to 32 bytes."""
    if not instrument.isascii() or not 1 <= len(instrument) <= 32:
        raise Invalid("an instrument is 1 to 32 ASCII characters")
    return instrument.encode("ascii").ljust(32, b"\x00")
