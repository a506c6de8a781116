"""Orders that an ACE platform evaluates off chain before the engine on chain is asked.

The platform is asked by request and poll: POST /evaluate with an id that names the question, then GET
/evaluate/{permit id} until it is ready, rejected or failed. When it is ready its permit lies on chain, where a policy
of the engine looks for it; the engine has the last word.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from backend.adapters.policy.engine import TARGET, order_calldata
from backend.adapters.rest import RestApi
from backend.kernel.errors import Unavailable
from backend.ports.chain import Chain
from backend.ports.policy import OrderCheck, Policy, Verdict

PLATFORM = "ACEPlatform"
SIGNATURE = "submitOrder(address,bytes32,uint256,bytes32)"
WORD = 32
AT_ONCE = 8


class EvaluationStatus(StrEnum):
    """How an evaluation stands."""

    EVALUATING = "evaluating"
    APPROVING = "approving"
    READY = "ready"
    REJECTED = "rejected"
    FAILED = "failed"


OPEN = frozenset({EvaluationStatus.EVALUATING, EvaluationStatus.APPROVING})


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation and the id of the permit that it may come to."""

    permit_id: str
    status: EvaluationStatus


class AcePlatform:
    """Speaks the platform's Evaluation API 0.1.0; the same id gives the same evaluation."""

    def __init__(self, url: str, api_key: str, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._api = RestApi("the ACE platform", url, {"Authorization": f"Apikey {api_key}"}, timeout)

    async def start(self, question: dict[str, Any]) -> Evaluation:
        """Begin an evaluation, or take up the one that the id names."""
        return _evaluation(*await self._api.ask("POST", "/evaluate", question))

    async def find(self, permit_id: str) -> Evaluation:
        """Return how an evaluation stands."""
        found = _evaluation(*await self._api.ask("GET", f"/evaluate/{quote(permit_id, safe='')}"))
        if found.permit_id != permit_id:
            raise Unavailable("the ACE platform answers about another evaluation")
        return found

    async def close(self) -> None:
        """Give the connections back."""
        await self._api.close()


class AcePlatformPolicy:
    """Lets the platform evaluate, then asks the engine; what is not decided in time counts as no answer."""

    def __init__(
        self,
        engine: Policy,
        platform: AcePlatform,
        chain: Chain,
        relay: str,
        chain_selector: str,
        today: Callable[[], date],
        *,
        patience: timedelta = timedelta(seconds=5),
        poll: timedelta = timedelta(seconds=0.25),
    ) -> None:
        self._engine = engine
        self._platform = platform
        self._chain = chain
        self._relay = relay.lower()
        self._chain_selector = chain_selector
        self._today = today
        self._patience = patience.total_seconds()
        self._poll = poll.total_seconds()

    async def close(self) -> None:
        """Give the connections to the platform back, and the engine's."""
        await self._platform.close()
        await self._engine.close()

    async def check(self, order: OrderCheck) -> Verdict:
        """Return the verdict for one order."""
        return (await self.check_all([order]))[0]

    async def check_all(self, orders: Sequence[OrderCheck]) -> Sequence[Verdict]:
        """Return the verdicts for orders in their order; the engine's are all of one block."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def decided(order: OrderCheck) -> Evaluation:
            async with gate:
                return await self._decided(order)

        evaluations = await asyncio.gather(*map(decided, orders))
        verdicts = await self._engine.check_all(orders)
        return [_joined(*pair) for pair in zip(verdicts, evaluations, strict=True)]

    def restated(self, order: OrderCheck, verdict: Verdict) -> Verdict:
        """Return a verdict on another order as if it had been on this one."""
        return self._engine.restated(order, verdict)

    async def version(self) -> str:
        """Return what identifies the engine's rules: the platform's have no name."""
        return await self._engine.version()

    async def _decided(self, order: OrderCheck) -> Evaluation:
        try:
            async with asyncio.timeout(self._patience):
                found = await self._platform.start(self._question(order))
                while found.status in OPEN:
                    await asyncio.sleep(self._poll)
                    found = await self._platform.find(found.permit_id)
        except TimeoutError:
            raise Unavailable("the ACE platform has not decided in time") from None
        if found.status is EvaluationStatus.FAILED:
            raise Unavailable("the ACE platform's evaluation failed")
        return found

    def _question(self, order: OrderCheck) -> dict[str, Any]:
        call = order_calldata(self._chain, order)
        target = self._chain.address(TARGET)
        asked = f"{self._today().isoformat()}/{self._chain_selector}/{target}/{self._relay}/{call.hex()}"
        return {
            "caller_address": self._relay,
            "subject": target,
            "function_signature": SIGNATURE,
            "chain_selector": self._chain_selector,
            "parameters": ["0x" + call[at : at + WORD].hex() for at in range(4, len(call), WORD)],
            # The platform keeps a decision under its id: the same question is evaluated once a day.
            "unique_evaluation_id": hashlib.sha256(asked.encode()).hexdigest(),
        }


def _joined(verdict: Verdict, evaluation: Evaluation) -> Verdict:
    if evaluation.status is EvaluationStatus.REJECTED and verdict.allowed:
        reason = f"evaluation {evaluation.permit_id} was rejected"
        return replace(verdict, allowed=False, policy=PLATFORM, reason=reason)
    return verdict


def _evaluation(status: int, answer: dict[str, Any]) -> Evaluation:
    if status not in {200, 201, 202}:
        raise Unavailable(f"the ACE platform answers {status}")
    permit_id, named = answer.get("permit_id"), answer.get("status")
    if not isinstance(permit_id, str) or not 1 <= len(permit_id) <= 128 or not permit_id.isascii():
        raise Unavailable("the ACE platform answers without a permit id")
    try:
        return Evaluation(permit_id, EvaluationStatus(str(named)))
    except ValueError:
        raise Unavailable("the ACE platform answers a status that there is not") from None
