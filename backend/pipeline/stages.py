"""The life of an order on one screen: decide -> clear -> approve -> execute -> journal.

Each stage takes what only the stage before it makes, so that no gate can be left out. A refusal is an outcome like
any other: it is recorded and kept in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.compliance.types import ClearedDecision, Ruling
from backend.decisions.service import Intent, Stake
from backend.decisions.types import Decision
from backend.execution.engine import (
    approved_fields,
    cleared_fields,
    decision_fields,
    filled_fields,
    in_flight_fields,
    order_fields,
    order_id_of,
    refused_fields,
)
from backend.execution.types import Fill, Holdings, InFlight, Order, OrderState
from backend.kernel.canonical import JsonValue, encode_bytes
from backend.kernel.clock import epoch_of
from backend.kernel.fixed import PRECISION
from backend.kernel.refusal import Refused
from backend.pipeline import repository
from backend.pipeline.types import Outcome
from backend.ports.journal import Journal, Recorded
from backend.ports.policy import OrderCheck
from backend.risk.types import ApprovedOrder, Portfolio

# What was committed to at the end of an epoch must stay what the account held at its end.
EPOCH_CLOSED = Refused("risk", "epoch_closed", "the positions of this day are committed to: wait for the next one")


class Decides(Protocol):
    """Makes a decision of an intent."""

    async def decide(
        self, session: AsyncSession, account: str, intent: Intent, stake: Stake, *, key: str | None = None
    ) -> Decision: ...

    def propose(self, account: str, intent: Intent, stake: Stake, *, key: str | None = None) -> Decision: ...


class Clears(Protocol):
    """The compliance gate."""

    async def clear(
        self, session: AsyncSession, decision: Decision, account: Caller, *, reduces: bool = False
    ) -> ClearedDecision | Refused: ...

    async def ask_ahead(self, session: AsyncSession, decisions: Sequence[Decision], account: Caller) -> list[int]: ...

    async def judge(
        self, session: AsyncSession, decision: Decision, account: Caller
    ) -> tuple[OrderCheck | None, Ruling | Refused]: ...

    async def traded(self, session: AsyncSession, account_id: int) -> int: ...

    async def rules(self, session: AsyncSession) -> str: ...


class Approves(Protocol):
    """The risk gate."""

    async def approve(
        self, session: AsyncSession, cleared: ClearedDecision, portfolio: Portfolio
    ) -> ApprovedOrder | Refused: ...

    async def cap(self, session: AsyncSession, account_id: int) -> Decimal: ...


class Executes(Protocol):
    """The venue and the books."""

    async def lock(self, session: AsyncSession, account_id: int) -> Holdings: ...

    async def holdings(self, session: AsyncSession, account_id: int) -> Holdings: ...

    async def execute(self, session: AsyncSession, approved: ApprovedOrder) -> Fill | InFlight | Refused: ...

    async def keep(self, session: AsyncSession, account_id: int, client_key: str, order: Order) -> Order: ...


@dataclass(frozen=True, slots=True)
class Stages:
    """The rooms that an order goes through, in their order; instruments share an account's cap equally."""

    decisions: Decides
    compliance: Clears
    risk: Approves
    execution: Executes
    journal: Journal
    instruments: int


@dataclass(frozen=True, slots=True)
class Submission:
    """Who wants what, under which key."""

    session: AsyncSession
    caller: Caller
    key: str
    intent: Intent


async def run(submission: Submission, stages: Stages) -> Outcome:
    """Take an intent through every stage and record how it ended."""
    session, caller = submission.session, submission.caller
    held = await stages.execution.lock(session, caller.account_id)
    await repository.hold_chain(session, caller.pseudonym)
    stake = await stake_of(session, caller, submission.intent, stages, held)
    decision = await stages.decisions.decide(session, caller.pseudonym, submission.intent, stake, key=submission.key)
    if decision.side == "hold":
        return await _held(submission, stages, decision)
    if await repository.is_closed(session, caller.pseudonym, epoch_of(decision.decided_at)):
        return await _refused(submission, stages, decision, EPOCH_CLOSED, {})

    cleared = await stages.compliance.clear(session, decision, caller, reduces=held.is_reduced_by(decision))
    if isinstance(cleared, Refused):
        return await _refused(submission, stages, decision, cleared, {})

    approved = await stages.risk.approve(session, cleared, held.portfolio())
    if isinstance(approved, Refused):
        return await _refused(submission, stages, decision, approved, cleared_fields(cleared))

    fill = await stages.execution.execute(session, approved)
    if isinstance(fill, Refused):
        return await _refused(submission, stages, decision, fill, approved_fields(approved))
    return await _executed(submission, stages, decision, fill)


async def propose(submission: Submission, stages: Stages, held: Holdings) -> Decision:
    """Return what would be decided by who holds this; nothing is kept of it."""
    session, caller, intent = submission.session, submission.caller, submission.intent
    stake = await stake_of(session, caller, intent, stages, held)
    return stages.decisions.propose(caller.pseudonym, intent, stake, key=submission.key)


async def stake_of(session: AsyncSession, caller: Caller, intent: Intent, stages: Stages, held: Holdings) -> Stake:
    """Return what a decision may build on: an equal share of the account's cap, less what the position cost."""
    position = held.positions.get(intent.instrument)
    cap = await stages.risk.cap(session, caller.account_id)
    with localcontext(prec=PRECISION):
        costs = {name: entry.quantity * entry.average_cost for name, entry in held.positions.items()}
        share = min(cap, held.cash + sum(costs.values())) / stages.instruments
        spendable = held.cash - held.reserved.notional
        left = min(spendable, share - costs.get(intent.instrument, Decimal(0)))
    if position is None:
        return Stake(max(left, Decimal(0)), Decimal(0), Decimal(0))
    return Stake(max(left, Decimal(0)), position.quantity, position.average_cost)


async def _held(submission: Submission, stages: Stages, decision: Decision) -> Outcome:
    fields = decision_fields(decision, submission.caller)
    recorded = await _record(submission, stages, "decision.held", fields, decision)
    return Outcome("held", decision, recorded)


async def _refused(
    submission: Submission, stages: Stages, decision: Decision, refused: Refused, known: Mapping[str, JsonValue]
) -> Outcome:
    fields = order_fields(decision, submission.caller, **refused_fields(refused, known))
    recorded = await _record(submission, stages, "order.refused", fields, decision)
    order = await _keep(submission, stages, decision, "refused", fields, recorded)
    return Outcome("refused", decision, recorded, order, refused)


async def _executed(submission: Submission, stages: Stages, decision: Decision, fill: Fill | InFlight) -> Outcome:
    if isinstance(fill, InFlight):
        fields = order_fields(decision, submission.caller, **in_flight_fields(fill))
        recorded = await _record(submission, stages, "order.unknown", fields, decision)
        return Outcome(
            "unknown", decision, recorded, await _keep(submission, stages, decision, "unknown", fields, recorded)
        )
    fields = order_fields(decision, submission.caller, **filled_fields(fill))
    recorded = await _record(submission, stages, "order.filled", fields, decision)
    return Outcome("filled", decision, recorded, await _keep(submission, stages, decision, "filled", fields, recorded))


async def _record(
    submission: Submission, stages: Stages, event: str, fields: Mapping[str, JsonValue], decision: Decision
) -> Recorded:
    caller = submission.caller
    return await stages.journal.record(
        submission.session,
        caller.pseudonym,
        event,
        fields,
        actor=caller.pseudonym,
        policy=await stages.compliance.rules(submission.session),
        ts_event=decision.decided_at,
    )


async def _keep(
    submission: Submission,
    stages: Stages,
    decision: Decision,
    state: OrderState,
    fields: Mapping[str, JsonValue],
    recorded: Recorded,
) -> Order:
    order = Order(
        id=0,
        order_id=order_id_of(decision.decision_id),
        instrument=decision.instrument,
        side="buy" if decision.side == "buy" else "sell",
        quantity=decision.quantity,
        state=state,
        gate=str(fields["gate"]),
        rule=str(fields["rule"]),
        reason=str(fields["reason"]),
        decision_id=decision.decision_id,
        model=str(fields["model"]),
        compliance_receipt=str(fields["compliance_receipt"]),
        risk_decision=str(fields["risk_decision"]),
        venue_order_id=str(fields["venue_order_id"]),
        price=_amount(fields["price"]),
        notional=_amount(fields["notional"]),
        fee=_amount(fields["fee"]),
        ordered_at=decision.decided_at,
        record_account=recorded.account,
        record_seq=recorded.seq,
        record_commitment=encode_bytes(recorded.commitment),
        record_id=recorded.record_id,
    )
    return await stages.execution.keep(submission.session, submission.caller.account_id, submission.key, order)


def _amount(text: JsonValue) -> Decimal | None:
    return Decimal(str(text)) if text else None
