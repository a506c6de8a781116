"""Asks the PolicyEngine on the L2 whether orders may pass, without sending anything."""

import hashlib
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace

from aiohttp import ClientConnectionError, ClientResponseError
from eth_abi.abi import encode

from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from backend.kernel.fixed import NOTIONAL_DECIMALS, to_units
from backend.kernel.keccak import keccak256
from backend.ports.chain import Block, Chain, Reverted
from backend.ports.policy import OrderCheck, Silent, Verdict

ENGINE = "PolicyEngine"
TARGET = "OrderGate"
FUNCTION = "submitOrder"
CREDENTIALS = "CredentialValidatorPolicy"
POLICIES = (
    "PausePolicy",
    "AuthorizedSenderPolicy",
    "SanctionsPolicy",
    "CredentialValidatorPolicy",
    "VolumePolicy",
    "VarAttestationPolicy",
    "SlidingVolumePolicy",
    "ProgressiveCapPolicy",
    "ApprovedModelPolicy",
)
NO_MODEL = bytes(32)
ZERO_ADDRESS = "0x" + "00" * 20
# What IOrderGate.checkOrders gives for a check that failed and said nothing.
NO_REASON = "CheckFailed"
# OrderContext.sol
CONTEXT_TAG = keccak256(b"refi.trading/order-context/1")
MAX_AT_ONCE = 100
NOBODY_ANSWERS = (ClientConnectionError, ClientResponseError, TimeoutError, OSError)


class EnginePolicy:
    """Calls `PolicyEngine.check` with the OrderGate as the caller and the relay as the payload's sender.

    engine is the address of another engine than the deployment's, one of Chainlink ACE for example; the OrderGate is
    attached to it.
    """

    def __init__(self, chain: Chain, relay: str, engine: str = "") -> None:
        self._chain = chain
        self._relay = relay.lower()
        self._engine = f"{ENGINE}@{engine.lower()}" if engine else ENGINE
        # The block at which the gate was last seen behind the engine and its rules.
        self._guarded_at = ""

    async def close(self) -> None:
        """Hold nothing: the chain is closed by whoever opened it."""

    async def check(self, order: OrderCheck) -> Verdict:
        """Return the verdict for one order at the latest block."""
        # What is not deployed is named even where the chain does not answer.
        self._chain.address(self._engine)
        with _silence_told():
            return await self._check(order, await self._chain.block())

    async def check_all(self, orders: Sequence[OrderCheck]) -> Sequence[Verdict]:
        """Return the verdicts of one block: one call for a hundred orders."""
        with _silence_told():
            block = await self._chain.block()
            verdicts: list[Verdict] = []
            for at in range(0, len(orders), MAX_AT_ONCE):
                verdicts += await self._check_at_once(orders[at : at + MAX_AT_ONCE], block)
            return verdicts

    def restated(self, order: OrderCheck, verdict: Verdict) -> Verdict:
        """Return a verdict on another order as if it had been on this one: this order's call, that one's block."""
        calldata_sha256 = encode_bytes(hashlib.sha256(order_calldata(self._chain, order)).digest())
        return replace(verdict, calldata_sha256=calldata_sha256, context="0x" + order_context(order).hex())

    async def version(self) -> str:
        """Return what identifies the rules in force: the engine's address, at the latest block."""
        return f"policy-engine:{self._chain.address(self._engine)}@latest"

    async def _check(self, order: OrderCheck, block: Block) -> Verdict:
        call, context = order_calldata(self._chain, order), order_context(order)
        payload = (call[:4], self._relay, call[4:], context)
        target = self._chain.address(TARGET)
        try:
            await self._chain.call(self._engine, "check", payload, sender=target, block=block.number)
        except Reverted as refusal:
            return self._verdict(call, context, block, refusal)
        await self._require_guard(block)
        return self._verdict(call, context, block, None)

    async def _check_at_once(self, orders: Sequence[OrderCheck], block: Block) -> list[Verdict]:
        await self._require_attached(block)
        asked = [(*_arguments(order), order_context(order)) for order in orders]
        refusals: Sequence[bytes] = await self._chain.call(
            TARGET, "checkOrders", self._relay, asked, block=block.number
        )
        if len(refusals) != len(orders):
            raise Unavailable("the OrderGate answers for another number of orders")
        if not all(refusals):
            await self._require_guard(block)
        return [await self._one_of(order, block, refusal) for order, refusal in zip(orders, refusals, strict=True)]

    async def _one_of(self, order: OrderCheck, block: Block, payload: bytes) -> Verdict:
        call, context = order_calldata(self._chain, order), order_context(order)
        refusal = self._chain.refusal(payload) if payload else None
        if refusal is not None and refusal.name == NO_REASON:
            # Perhaps the gas of the whole call was too little: alone it says what it says.
            return await self._check(order, block)
        return self._verdict(call, context, block, refusal)

    async def _require_attached(self, block: Block) -> None:
        """Raise Conflict when the OrderGate asks another engine than the one that the verdicts name."""
        attached = str(await self._chain.call(TARGET, "getPolicyEngine", block=block.number)).lower()
        if attached != self._chain.address(self._engine):
            raise Conflict(f"the OrderGate is attached to another engine: {attached}")

    async def _require_guard(self, block: Block) -> None:
        """Raise Conflict when a permission rests on no rule: a default that allows, or a contract that nods.

        Once a block: what is attached and which rules there are does not change within it.
        """
        if self._guarded_at == block.hash:
            return
        await self._require_attached(block)
        selector = self._chain.calldata(TARGET, FUNCTION, ZERO_ADDRESS, NO_MODEL, 0, NO_MODEL)[:4]
        gate = self._chain.address(TARGET)
        try:
            found = await self._chain.call(self._engine, "getPolicies", gate, selector, block=block.number)
        except Reverted as error:
            raise Conflict(f"the engine allows and names no rules: {error.name}") from error
        rules = {str(policy).lower() for policy in found}
        if not rules or (self._engine == ENGINE and not self._holds_credentials(rules)):
            raise Conflict("the engine allows orders without asking for a credential")
        self._guarded_at = block.hash

    def _holds_credentials(self, rules: Set[str]) -> bool:
        try:
            return self._chain.address(CREDENTIALS) in rules
        except NotFound:
            # A deployment with other rules of its own.
            return True

    def _verdict(self, call: bytes, context: bytes, block: Block, refusal: Reverted | None) -> Verdict:
        policy, reason = ("", "") if refusal is None else self._why(refusal)
        return Verdict(
            allowed=refusal is None,
            engine=self._chain.address(self._engine),
            target=self._chain.address(TARGET),
            sender=self._relay,
            selector="0x" + call[:4].hex(),
            calldata_sha256=encode_bytes(hashlib.sha256(call).digest()),
            block_number=block.number,
            block_hash=block.hash,
            policy=policy,
            reason=reason,
            context="0x" + context.hex(),
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
    return chain.calldata(TARGET, FUNCTION, *_arguments(order))


def order_context(order: OrderCheck) -> bytes:
    """Return what the rules are told beside the call, as OrderContext.sol reads it."""
    cumulative = to_units(order.cumulative, NOTIONAL_DECIMALS)
    return encode(["bytes32", "uint256", "bool"], [CONTEXT_TAG, cumulative, order.paper])


def _arguments(order: OrderCheck) -> tuple[str, bytes, int, bytes]:
    return (
        order.subject,
        instrument_word(order.instrument),
        to_units(order.notional, NOTIONAL_DECIMALS),
        NO_MODEL if order.model_sha256 is None else bytes.fromhex(order.model_sha256),
    )


@contextmanager
def _silence_told() -> Iterator[None]:
    """Tell a node that does not answer from one that answers nonsense."""
    try:
        yield
    except Unavailable as error:
        if isinstance(error.__cause__, NOBODY_ANSWERS):
            raise Silent(str(error)) from error
        raise


def instrument_word(instrument: str) -> bytes:
    """Return a ticker's ASCII, padded with zeros on the right to 32 bytes."""
    if not instrument.isascii() or not 1 <= len(instrument) <= 32:
        raise Invalid("an instrument is 1 to 32 ASCII characters")
    return instrument.encode("ascii").ljust(32, b"\x00")
