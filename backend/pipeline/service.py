"""Places orders: one at a time or in a batch, each with the effect of its key exactly once."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.decisions.service import AgentIntent, Intent, PersonIntent
from backend.decisions.types import Decision
from backend.execution.types import Order
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import RefiError
from backend.kernel.refusal import Refused
from backend.kit.idempotency import StoredResponse, once
from backend.kit.problems import MEDIA_TYPE, error_problem, refusal_problem
from backend.pipeline.schemas import AgentDecisionIn, CheckOut, FillOut, HeldOut, OrderIn, OrderOut, RecordOut
from backend.pipeline.stages import Stages, Submission, propose, run
from backend.pipeline.types import Outcome

log = structlog.get_logger(__name__)

# How often the rest of a batch is asked about anew, after orders that ended otherwise than foreseen.
MAX_ASKED_AHEAD = 4


@dataclass(frozen=True, slots=True)
class OrderService:
    """Runs submissions through the stages and keeps their answers."""

    stages: Stages

    async def place(self, session: AsyncSession, caller: Caller, key: str, order: OrderIn) -> StoredResponse:
        """Return what an order came to; the same key gives the same answer and no second order."""

        async def action() -> StoredResponse:
            return answer_of(await run(Submission(session, caller, key, intent_of(order)), self.stages))

        return await once(session, caller.account_id, key, _digest(order), action)

    async def check(self, session: AsyncSession, caller: Caller, order: OrderIn) -> CheckOut:
        """Return what the on-chain rules say of an order that is not placed."""
        stages = self.stages
        held = await stages.execution.holdings(session, caller.account_id)
        decision = await propose(Submission(session, caller, "", intent_of(order)), stages, held)
        if decision.side == "hold":
            return CheckOut(verdict="hold", reason="the model decides to do nothing")
        asked, ruling = await stages.compliance.judge(session, decision, caller)
        notional = None if asked is None else asked.notional
        if isinstance(ruling, Refused):
            return CheckOut(verdict="refused", policy=ruling.rule, reason=ruling.reason, notional=notional)
        verdict = ruling.verdict
        return CheckOut(
            verdict="allowed" if verdict.allowed else "refused",
            policy=verdict.policy,
            reason=verdict.reason,
            notional=notional,
            paper=asked is not None and asked.paper,
            block_number=verdict.block_number,
            block_hash=verdict.block_hash,
        )

    async def place_all(
        self, session: AsyncSession, caller: Caller, key: str, orders: Sequence[OrderIn]
    ) -> list[dict[str, object]]:
        """Return what each order came to; a fault in one undoes only that one."""
        results: list[dict[str, object]] = []
        ahead = Ahead(self.stages, session, caller, orders)
        for number, order in enumerate(orders):
            await ahead.reach(number)
            try:
                async with session.begin_nested():
                    answer = await self.place(session, caller, f"{key}.{number}", order)
                results.append(json.loads(answer.body))
            except RefiError as error:
                results.append({"state": "error", **json.loads(bytes(error_problem(error).body))})
        return results


class Ahead:
    """Has the on-chain rules asked about a batch's orders in one call, before each is placed.

    What an order is asked with depends on how those before it ended. Where that was not foreseen the rest is asked
    about again, a few times at most; an order that nobody asked about ahead is asked about by the gate, as any other.
    """

    def __init__(self, stages: Stages, session: AsyncSession, caller: Caller, orders: Sequence[OrderIn]) -> None:
        self._stages = stages
        self._session = session
        self._caller = caller
        self._orders = orders
        self._starts: dict[int, int] | None = None
        self._left = MAX_ASKED_AHEAD

    async def reach(self, number: int) -> None:
        """See to it that the rules were asked about an order and those behind it."""
        if not self._left or len(self._orders) - number < 2:
            return
        if self._starts is not None:
            traded = await self._stages.compliance.traded(self._session, self._caller.account_id)
            if self._starts.get(number, traded) == traded:
                return
        self._left -= 1
        proposed = await self._proposed(number)
        try:
            starts = await self._stages.compliance.ask_ahead(self._session, list(proposed.values()), self._caller)
        except RefiError as error:
            log.warning("compliance.not_asked_ahead", error=str(error))
            self._left = 0
            return
        self._starts = dict(zip(proposed, starts, strict=True))

    async def _proposed(self, first: int) -> dict[int, Decision]:
        found = {}
        held = await self._stages.execution.holdings(self._session, self._caller.account_id)
        for number in range(first, len(self._orders)):
            submission = Submission(self._session, self._caller, str(number), intent_of(self._orders[number]))
            try:
                decision = await propose(submission, self._stages, held)
            except RefiError:
                continue
            if decision.side != "hold":
                found[number] = decision
        return found


def intent_of(order: OrderIn) -> Intent:
    """Return what an order asks for."""
    asked = order.decision
    if isinstance(asked, AgentDecisionIn):
        return AgentIntent(asked.model, asked.instrument)
    return PersonIntent(asked.instrument, asked.side, asked.quantity)


def answer_of(outcome: Outcome) -> StoredResponse:
    """Return an outcome as it goes over the wire: a refusal is a problem document."""
    order, record = outcome.order, _record(outcome)
    if order is None:
        decision = outcome.decision
        body: BaseModel = HeldOut(
            decision_id=decision.decision_id,
            instrument=decision.instrument,
            model=decision.model_sha256 or "",
            action=decision.action,
            record=record,
        )
        return StoredResponse(HTTPStatus.CREATED.value, body.model_dump_json())
    if outcome.refused is not None:
        problem = refusal_problem(outcome.refused)
        members = {"state": "refused", "order_id": order.order_id, "record": record.model_dump()}
        return StoredResponse(
            problem.status_code, json.dumps({**json.loads(bytes(problem.body)), **members}), MEDIA_TYPE
        )
    status = HTTPStatus.ACCEPTED if outcome.state == "unknown" else HTTPStatus.CREATED
    return StoredResponse(status.value, order_out(order).model_dump_json())


def order_out(order: Order, entry_index: int | None = None) -> OrderOut:
    """Return an order for the wire."""
    fill = None
    if order.price is not None and order.fee is not None:
        fill = FillOut(venue_order_id=order.venue_order_id, quantity=order.quantity, price=order.price, fee=order.fee)
    return OrderOut(
        order_id=order.order_id,
        state=order.state,
        instrument=order.instrument,
        side=order.side,
        quantity=order.quantity,
        notional=order.notional,
        fill=fill,
        gate=order.gate,
        rule=order.rule,
        reason=order.reason,
        decision_id=order.decision_id,
        model=order.model,
        compliance_receipt=order.compliance_receipt,
        risk_decision=order.risk_decision,
        ordered_at=order.ordered_at,
        record=RecordOut(account=order.record_account, seq=order.record_seq, commitment=order.record_commitment),
        entry_index=entry_index,
    )


def _record(outcome: Outcome) -> RecordOut:
    recorded = outcome.recorded
    return RecordOut(account=recorded.account, seq=recorded.seq, commitment=encode_bytes(recorded.commitment))


def _digest(order: OrderIn) -> str:
    return hashlib.sha256(b"POST /orders\x00" + order.model_dump_json().encode()).hexdigest()
