"""What other stages keep about events whose records are erased goes with them."""

from http import HTTPStatus
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.types import Erasing
from backend.kernel.canonical import parse_time
from backend.kernel.clock import day_of, epoch_of
from backend.kit.idempotency import FORGOTTEN
from backend.kit.problems import MEDIA_TYPE, problem
from backend.proofs.service import ATTEST_JOB
from backend.transparency import repository


async def forget(session: AsyncSession, erasing: Erasing) -> None:
    """Delete what orders, decisions, gates, closed epochs and stored answers say about records that go."""
    account = erasing.account
    await repository.forget_orders(session, account, {record["seq"] for record in erasing.records})
    decisions = _values(erasing, "decision_id")
    await repository.forget_decisions(session, account, decisions)
    await repository.forget_halts(session, {int(halt) for halt in _values(erasing, "halt")})
    epochs = {record["epoch"] for record in erasing.records if record["event"] in {"epoch.closed", "epoch.refused"}}
    await repository.forget_epochs(session, account, epochs)
    days = {day_of(epoch_of(parse_time(record["ts_event"]))) for record in erasing.records}
    await repository.forget_reconciliations(session, account, days)
    number = await repository.account_id(session, account)
    if number is None:
        return
    await repository.forget_receipts(session, number, _values(erasing, "compliance_receipt"))
    await repository.forget_jobs(session, number, ATTEST_JOB, epochs)
    logins = [record["ts_recorded"] for record in erasing.records if record["event"] == "login"]
    if logins:
        await repository.forget_sessions(session, number, parse_time(max(logins)))
    gone = problem(HTTPStatus.GONE, "erased", "what was answered then is erased")
    answer = {
        "status": gone.status_code,
        "media_type": MEDIA_TYPE,
        "response": bytes(gone.body).decode(),
        # Few orders are possible: whoever guesses one could test the guess against its hash.
        "request_sha256": FORGOTTEN,
    }
    await repository.forget_answers(session, number, decisions | _values(erasing, "order_id"), answer)


def _values(erasing: Erasing, name: str) -> set[Any]:
    return {record[name] for record in erasing.records if record.get(name)}
