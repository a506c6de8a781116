"""The queries that make other stages' tables forget what was erased from the log, and those of log bundles.

The transaction is the caller's: one erasure goes through all of the tables in one, or through none.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from backend.accounts.models import Account, RefreshFamily, RefreshToken
from backend.audit.models import AccountRow, CheckpointRow, LogStateRow, RecordRow
from backend.compliance.models import ComplianceReceipt
from backend.decisions.models import DecisionRow
from backend.execution.models import OrderRow, ReconciliationRow
from backend.kit.db import insert_once
from backend.kit.models import IdempotencyKey, Job
from backend.proofs.models import AttestationRow, EpochRow, FailureRow, RefusedEpochRow
from backend.risk.models import HaltRow, RiskDecision
from backend.transparency.models import BundleRow

DAY_OPENED = "market.day_opened"
KEYS_A_QUERY = 500
NAMED = re.compile(r'"(?:order_id|decision_id)"\s*:\s*"([0-9a-f]{32})"')


async def account_id(session: AsyncSession, pseudonym: str) -> int | None:
    """Return the number of a trading account, None for the system's."""
    return await session.scalar(select(Account.id).where(Account.pseudonym == pseudonym))


async def count_erased(session: AsyncSession, account: str, first_seq: int, last_seq: int) -> int:
    """Return how many of these records are erased; nobody erases another one until the transaction ends."""
    await session.execute(select(AccountRow.seq).where(AccountRow.account == account).with_for_update())
    within = RecordRow.account == account, RecordRow.seq >= first_seq, RecordRow.seq <= last_seq
    query = select(func.count()).select_from(RecordRow).where(*within, RecordRow.erased.is_(True))
    return (await session.execute(query)).scalar_one()


async def forget_orders(session: AsyncSession, account: str, seqs: Collection[int]) -> None:
    """Delete the orders whose last record is one of these; one of unknown fate still reserves something and stays."""
    await _delete(session, OrderRow.record_seq, seqs, OrderRow.record_account == account, OrderRow.state != "unknown")


async def forget_decisions(session: AsyncSession, account: str, decision_ids: Collection[str]) -> None:
    """Delete decisions, with what the risk gate said to them, unless an order of them is left."""
    for part in _parts(decision_ids):
        left = select(OrderRow.decision_id).where(OrderRow.decision_id.in_(part))
        gone = set(part) - set(await session.scalars(left))
        await session.execute(
            delete(DecisionRow).where(DecisionRow.account == account, DecisionRow.decision_id.in_(gone))
        )
        await session.execute(delete(RiskDecision).where(RiskDecision.decision_id.in_(gone)))


async def forget_receipts(session: AsyncSession, number: int, sha256s: Collection[str]) -> None:
    """Delete the rules' receipts, unless another order of the account got the same one."""
    for part in _parts(sha256s):
        left = select(OrderRow.compliance_receipt).where(
            OrderRow.account_id == number, OrderRow.compliance_receipt.in_(part)
        )
        gone = set(part) - set(await session.scalars(left))
        await session.execute(delete(ComplianceReceipt).where(ComplianceReceipt.sha256.in_(gone)))


async def forget_epochs(session: AsyncSession, account: str, epochs: Collection[int]) -> None:
    """Delete the positions of closed epochs, why others were refused, and what became of their claims."""
    await _delete(session, EpochRow.epoch, epochs, EpochRow.account == account)
    await _delete(session, RefusedEpochRow.epoch, epochs, RefusedEpochRow.account == account)
    await _delete(session, AttestationRow.epoch, epochs, AttestationRow.account == account)
    wallet = select(Account.address).where(Account.pseudonym == account).scalar_subquery()
    await _delete(session, FailureRow.epoch, epochs, FailureRow.subject == wallet)


async def forget_reconciliations(session: AsyncSession, account: str, days: Collection[date]) -> None:
    """Delete how an account's days compared with the venue's books."""
    await _delete(session, ReconciliationRow.day, days, ReconciliationRow.account == account)


async def forget_halts(session: AsyncSession, halt_ids: Collection[int]) -> None:
    """Delete the wallet and the reason from trips that are over; that there was a halt stays."""
    for part in _parts(halt_ids):
        over = HaltRow.id.in_(part), HaltRow.state == "armed"
        await session.execute(update(HaltRow).where(*over).values(subject="", reason=""))


async def forget_answers(session: AsyncSession, number: int, ids: Collection[str], erased: dict[str, Any]) -> None:
    """Put `erased` in the place of the answers that name one of these orders or decisions; their keys stay used."""
    after = ""
    while True:
        query = select(IdempotencyKey.key, IdempotencyKey.response).where(
            IdempotencyKey.account_id == number, IdempotencyKey.key > after
        )
        rows = (await session.execute(query.order_by(IdempotencyKey.key).limit(KEYS_A_QUERY))).all()
        if not rows:
            return
        after = rows[-1].key
        naming = [row.key for row in rows if _names(row.response, ids)]
        await session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.account_id == number, IdempotencyKey.key.in_(naming))
            .values(**erased)
        )


async def forget_jobs(session: AsyncSession, number: int, name: str, epochs: Collection[int]) -> None:
    """Delete the ended jobs of a name that were about an account and one of these epochs, whoever started them."""
    wallet = select(Account.address).where(Account.id == number).scalar_subquery()
    about = (Job.account_id == number) | (Job.payload["subject"].as_string() == wallet)
    query = select(Job.id, Job.payload).where(about, Job.name == name, Job.finished_at.is_not(None))
    gone = [row.id for row in await session.execute(query) if row.payload.get("epoch") in epochs]
    await _delete(session, Job.id, gone)


async def forget_sessions(session: AsyncSession, number: int, ended_by: datetime) -> None:
    """Delete an account's sign-in sessions that were over at a moment."""
    ended = RefreshFamily.account_id == number, RefreshFamily.expires_at <= ended_by
    tokens = delete(RefreshToken).where(RefreshToken.family_id.in_(select(RefreshFamily.id).where(*ended)))
    await session.execute(tokens.execution_options(synchronize_session=False))
    await session.execute(delete(RefreshFamily).where(*ended).execution_options(synchronize_session=False))


def _names(response: str, ids: Collection[str]) -> bool:
    return any(found in ids for found in NAMED.findall(response))


async def _delete(
    session: AsyncSession, column: InstrumentedAttribute[Any], values: Collection[Any], *conditions: ColumnElement[bool]
) -> None:
    for part in _parts(values):
        await session.execute(
            delete(column.class_).where(*conditions, column.in_(part)).execution_options(synchronize_session=False)
        )


def _parts(values: Collection[Any]) -> Iterator[Sequence[Any]]:
    listed = sorted(values)
    return (listed[at : at + KEYS_A_QUERY] for at in range(0, len(listed), KEYS_A_QUERY))


async def last_bundle(session: AsyncSession) -> tuple[int, int]:
    """Return where the newest log bundle ends: in the log, and among its anchors."""
    query = select(BundleRow.end, BundleRow.anchor_end).order_by(BundleRow.start.desc()).limit(1)
    row = (await session.execute(query)).one_or_none()
    return (row.end, row.anchor_end) if row else (0, 0)


async def add_bundle(session: AsyncSession, start: int, end: int, anchor_end: int, cid: str, now: datetime) -> bool:
    """Write a log bundle, False when one begins there already."""
    values = {"start": start, "end": end, "anchor_end": anchor_end, "cid": cid, "created_at": now}
    query = insert_once(session, BundleRow).values(**values).returning(BundleRow.start)
    return await session.scalar(query) is not None


async def first_opened_day(session: AsyncSession, start: int) -> tuple[int, str] | None:
    """Return the index and the time of the first entry from `start` on that closes a day by opening the next."""
    system = select(LogStateRow.system_account).scalar_subquery()
    query = (
        select(RecordRow.entry_index, RecordRow.ts_recorded)
        .where(RecordRow.account == system, RecordRow.event == DAY_OPENED, RecordRow.entry_index >= start)
        .order_by(RecordRow.entry_index)
        .limit(1)
    )
    row = (await session.execute(query)).one_or_none()
    return (row.entry_index, row.ts_recorded) if row and row.entry_index is not None else None


async def checkpoint_above(session: AsyncSession, size: int) -> int | None:
    """Return the size of the first checkpoint of more than `size` entries."""
    return await session.scalar(select(func.min(CheckpointRow.size)).where(CheckpointRow.size > size))


async def checkpoint_up_to(session: AsyncSession, size: int) -> int:
    """Return the size of the last checkpoint of at most `size` entries, zero for none."""
    return await session.scalar(select(func.max(CheckpointRow.size)).where(CheckpointRow.size <= size)) or 0
