"""Routes that cross the stages: orders, positions, where an account stands."""

from dataclasses import asdict
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from backend.accounts.endpoints import AccountsService, SignedIn, requires
from backend.accounts.types import Role
from backend.compliance.service import ComplianceGate
from backend.decisions.service import DecisionService
from backend.execution.service import ExecutionService
from backend.execution.types import OrderState
from backend.kernel.errors import Invalid
from backend.kit.deps import Reading, Transaction, provided
from backend.kit.idempotency import IdempotencyKeyHeader, StoredResponse
from backend.kit.pagination import Paging
from backend.market.service import MarketService
from backend.pipeline import repository
from backend.pipeline.schemas import (
    BatchIn,
    BatchOut,
    CheckOut,
    DecisionOut,
    OrderDetailOut,
    OrderIn,
    OrderOut,
    OrdersOut,
    PositionOut,
    PositionsOut,
)
from backend.pipeline.service import OrderService, order_out
from backend.risk.schemas import HaltOut, RiskOut
from backend.risk.service import RiskGate
from backend.risk.types import RiskState

MAX_BATCH_KEY = 120

router = APIRouter(tags=["orders"])

Orders = Annotated[OrderService, Depends(provided(OrderService))]
Execution = Annotated[ExecutionService, Depends(provided(ExecutionService))]
Market = Annotated[MarketService, Depends(provided(MarketService))]
Decisions = Annotated[DecisionService, Depends(provided(DecisionService))]
Compliance = Annotated[ComplianceGate, Depends(provided(ComplianceGate))]
Risk = Annotated[RiskGate, Depends(provided(RiskGate))]


@router.post("/orders", status_code=201, response_model=OrderOut)
async def place(
    body: OrderIn, orders: Orders, caller: SignedIn, key: IdempotencyKeyHeader, session: Transaction
) -> Response:
    """Take a decision through compliance, risk and execution; a refusal is a problem document with gate and rule."""
    return _answer(await orders.place(session, caller, key, body))


@router.post("/orders/batch")
async def place_all(
    body: BatchIn, orders: Orders, caller: SignedIn, key: IdempotencyKeyHeader, session: Transaction
) -> BatchOut:
    """Place up to 100 orders one after the other; the results stand in their order, refusals among them."""
    if len(key) > MAX_BATCH_KEY:
        raise Invalid(f"the Idempotency-Key of a batch has at most {MAX_BATCH_KEY} characters")
    return BatchOut(results=await orders.place_all(session, caller, key, body.orders))


@router.post("/compliance/check", tags=["compliance"])
async def check(body: OrderIn, orders: Orders, caller: SignedIn, session: Reading) -> CheckOut:
    """Say what the rules on chain would answer to an order of the caller's; nothing is placed or recorded."""
    return await orders.check(session, caller, body)


@router.get("/orders")
async def list_orders(
    execution: Execution,
    session: Reading,
    caller: SignedIn,
    paging: Paging,
    state: Annotated[OrderState | None, Query()] = None,
) -> OrdersOut:
    """List the caller's orders, newest first."""
    page = await execution.orders(session, caller.account_id, paging, state)
    indices = await repository.entry_indices(session, (order.record_id for order in page.items))
    return OrdersOut(
        orders=[order_out(order, indices.get(order.record_id)) for order in page.items],
        next_before=page.next_before,
    )


@router.get("/orders/{order_id}")
async def get_order(
    order_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")],
    execution: Execution,
    decisions: Decisions,
    compliance: Compliance,
    session: Reading,
    caller: SignedIn,
) -> OrderDetailOut:
    """Return one of the caller's orders with its decision and the receipt of the on-chain rules."""
    order = await execution.order(session, caller.account_id, order_id)
    decision = await decisions.find(session, order.decision_id)
    indices = await repository.entry_indices(session, [order.record_id])
    receipt = await compliance.receipt(session, order.compliance_receipt) if order.compliance_receipt else None
    return OrderDetailOut(
        **order_out(order, indices.get(order.record_id)).model_dump(),
        decision=DecisionOut(
            decision_id=decision.decision_id,
            kind=decision.kind,
            action=decision.action,
            features_sha256=decision.features_sha256,
            features=list(decision.features),
            q_values=list(decision.q_values),
            decided_at=decision.decided_at,
        ),
        compliance=None if receipt is None else dict(receipt),
    )


@router.delete("/orders/{order_id}")
async def cancel_order(
    order_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")],
    execution: Execution,
    session: Transaction,
    caller: SignedIn,
) -> OrderOut:
    """Withdraw an order of unknown fate; 409 for one that is over. The answer says what became of it."""
    return order_out(await execution.cancel(session, caller, order_id))


@router.get("/positions")
async def positions(execution: Execution, market: Market, session: Reading, caller: SignedIn) -> PositionsOut:
    """Return the caller's cash and holdings at the last close."""
    held = await execution.holdings(session, caller.account_id)
    found = []
    for position in held.positions.values():
        quote = market.quote(position.instrument)
        price = None if quote is None else quote.price
        value = None if price is None else price * position.quantity
        found.append(
            PositionOut(
                instrument=position.instrument,
                quantity=position.quantity,
                average_cost=position.average_cost,
                price=price,
                value=value,
            )
        )
    values = [position.value for position in found]
    known = [value for value in values if value is not None]
    equity = held.cash + sum(known, Decimal(0)) if len(known) == len(values) else None
    return PositionsOut(cash=held.cash, equity=equity, positions=found)


@router.get("/risk/me", tags=["risk"])
async def my_risk(risk: Risk, execution: Execution, session: Reading, caller: SignedIn) -> RiskOut:
    """Return the caller's cap, exposure, VaR, expected shortfall, limits, and what halts its orders."""
    held = await execution.holdings(session, caller.account_id)
    return _risk(await risk.state(session, caller.account_id, held.portfolio()))


@router.get("/risk/{address}", tags=["risk"], dependencies=[Depends(requires(Role.OPERATOR, Role.REGULATOR))])
async def risk_of(
    address: Annotated[str, Path(pattern="^0x[0-9a-fA-F]{40}$")],
    risk: Risk,
    execution: Execution,
    accounts: AccountsService,
    session: Reading,
) -> RiskOut:
    """Return where an account stands, for operators and regulators."""
    subject = await accounts.find(session, address=address)
    held = await execution.holdings(session, subject.account_id)
    return _risk(await risk.state(session, subject.account_id, held.portfolio()))


def _risk(state: RiskState) -> RiskOut:
    return RiskOut(
        cap=state.cap,
        exposure=state.exposure,
        var=state.var,
        var_limit=state.var_limit,
        es=state.es,
        es_limit=state.es_limit,
        halted=state.halted,
        halts=[HaltOut(**asdict(halt)) for halt in state.halts],
    )


def _answer(stored: StoredResponse) -> Response:
    headers = {"Idempotency-Replayed": "true"} if stored.replayed else {}
    return Response(stored.body, stored.status, headers, stored.media_type)
