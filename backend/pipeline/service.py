"""Places orders: one at a time or in a batch, each with the effect of its key exactly once."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.decisions.service import AgentIntent, Intent, PersonIntent
from backend.execution.types import Order
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import RefiError
from backend.kit.idempotency import StoredResponse, once
from backend.kit.problems import MEDIA_TYPE, error_problem, refusal_problem
from backend.pipeline.schemas import AgentDecisionIn, FillOut, HeldOut, OrderIn, OrderOut, RecordOut
from backend.pipeline.stages import Stages, Submission, run
from backend.pipeline.types import Outcome


@dataclass(frozen=True, slots=True)
class OrderService:
    """Runs submissions through the stages and keeps their answers."""

    stages: Stages

    async def place(self, session: AsyncSession, caller: Caller, key: str, order: OrderIn) -> StoredResponse:
        """Return what an order came to; the same key gives the same answer and no second order."""

        async def action() -> StoredResponse:
            return answer_of(await run(Submission(session, caller, key, intent_of(order)), self.stages))

        return await once(session, caller.account_id, key, _digest(order), action)

    async def place_all(
        self, session: AsyncSession, caller: Caller, key: str, orders: Sequence[OrderIn]
    ) -> list[dict[str, object]]:
        """Return what each order came to; a fault in one undoes only that one."""
        results: list[dict[str, object]] = []
        for number, order in enumerate(orders):
            try:
                async with session.begin_nested():
                    answer = await self.place(session, caller, f"{key}.{number}", order)
                results.append(json.loads(answer.body))
            except RefiError as error:
                results.append({"state": "error", **json.loads(bytes(error_problem(error).body))})
        return results


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
