"""Every query on cases, on organisations' wallets and on webhooks that were heard."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kit.db import insert_once
from backend.kit.pagination import PageRequest
from backend.onboarding.models import OnboardingCase, OnboardingMember, ProviderEventRow
from backend.onboarding.types import CaseState, MemberState, Standing

# At most so many cases a round: the rest's turn comes with the next one.
ROUND = 50


async def add_case(session: AsyncSession, **values: Any) -> OnboardingCase | None:
    """Insert a case; None when the account has one that is not over."""
    return await session.scalar(insert_once(session, OnboardingCase).values(**values).returning(OnboardingCase))


async def case_by_id(session: AsyncSession, case_id: int) -> OnboardingCase | None:
    """Return a case."""
    return await session.get(OnboardingCase, case_id)


async def lock_case(session: AsyncSession, case_id: int) -> OnboardingCase | None:
    """Return a case as it is now, locked until the transaction ends."""
    query = select(OnboardingCase).where(OnboardingCase.id == case_id).with_for_update()
    return await session.scalar(query.execution_options(populate_existing=True))


async def newest_case(session: AsyncSession, account_id: int) -> OnboardingCase | None:
    """Return an account's newest case, over or not."""
    query = select(OnboardingCase).where(OnboardingCase.account_id == account_id)
    return await session.scalar(query.order_by(OnboardingCase.id.desc()).limit(1))


async def lock_open_case(session: AsyncSession, account_id: int) -> OnboardingCase | None:
    """Return an account's case that is not over, locked until the transaction ends."""
    query = select(OnboardingCase).where(OnboardingCase.open_for == account_id).with_for_update()
    return await session.scalar(query.execution_options(populate_existing=True))


async def lock_case_of_reference(session: AsyncSession, provider: str, reference_sha256: str) -> OnboardingCase | None:
    """Return the case of a provider's review, locked until the transaction ends."""
    query = select(OnboardingCase).where(
        OnboardingCase.provider == provider, OnboardingCase.reference_sha256 == reference_sha256
    )
    return await session.scalar(query.with_for_update().execution_options(populate_existing=True))


async def open_case_of_wallet(session: AsyncSession, address: str) -> OnboardingCase | None:
    """Return the case of a wallet that is not over."""
    query = select(OnboardingCase).where(OnboardingCase.address == address, OnboardingCase.open_for.is_not(None))
    return await session.scalar(query)


async def queue_page(session: AsyncSession, request: PageRequest) -> Sequence[OnboardingCase]:
    """Return the cases that wait for an operator, newest first, one more than the page holds."""
    query = select(OnboardingCase).where(OnboardingCase.state == CaseState.NEEDS_REVIEW.value)
    if request.before is not None:
        query = query.where(OnboardingCase.id < request.before)
    return (await session.scalars(query.order_by(OnboardingCase.id.desc()).limit(request.limit + 1))).all()


async def unfinished(session: AsyncSession, now: datetime) -> Sequence[int]:
    """Return the cases for which provider or chain are to be asked now, those that waited longest first."""
    waiting = or_(
        OnboardingCase.state.in_((CaseState.STARTED.value, CaseState.PENDING.value)),
        OnboardingCase.standing.in_((Standing.DUE.value, Standing.LEAVING.value)),
        OnboardingCase.id.in_(
            select(OnboardingMember.case_id).where(
                OnboardingMember.state.in_((MemberState.ACCEPTED.value, MemberState.LEAVING.value))
            )
        ),
    )
    rested = or_(OnboardingCase.retry_at.is_(None), OnboardingCase.retry_at <= now)
    query = select(OnboardingCase.id).where(waiting, rested)
    return (
        await session.scalars(query.order_by(OnboardingCase.retry_at.nulls_first(), OnboardingCase.id).limit(ROUND))
    ).all()


async def ending(session: AsyncSession, now: datetime, warned_before: datetime) -> Sequence[int]:
    """Return the approved cases whose credentials have ended, or end before a moment and this was not said yet."""
    unsaid = (OnboardingCase.expires_at <= warned_before) & OnboardingCase.renewal_due.is_(False)
    query = select(OnboardingCase.id).where(
        OnboardingCase.state == CaseState.APPROVED.value, or_(OnboardingCase.expires_at <= now, unsaid)
    )
    return (await session.scalars(query.order_by(OnboardingCase.expires_at).limit(ROUND))).all()


async def screened_otherwise(session: AsyncSession, lists: str) -> Sequence[int]:
    """Return the cases that were last screened against other lists than these."""
    query = select(OnboardingCase.id).where(
        OnboardingCase.state.in_((CaseState.PENDING.value, CaseState.NEEDS_REVIEW.value, CaseState.APPROVED.value)),
        OnboardingCase.screened_lists != lists,
    )
    return (await session.scalars(query.order_by(OnboardingCase.id).limit(ROUND))).all()


async def sealed_cases(session: AsyncSession, after: int) -> Sequence[OnboardingCase]:
    """Return cases that hold something of their applicant, in order of their ids."""
    query = select(OnboardingCase).where(OnboardingCase.id > after, OnboardingCase.sealed != b"")
    return (await session.scalars(query.order_by(OnboardingCase.id).limit(ROUND).with_for_update())).all()


async def ended_cases(session: AsyncSession, account: str, until: datetime) -> Sequence[OnboardingCase]:
    """Return an account's cases that ended up to a moment, locked; one that is being moved now is left out."""
    over = OnboardingCase.open_for.is_(None) & (OnboardingCase.decided_at <= until)
    expired = (OnboardingCase.state == CaseState.EXPIRED.value) & (OnboardingCase.expires_at <= until)
    query = select(OnboardingCase).where(OnboardingCase.account == account, or_(over, expired))
    # An erasure holds the account's chain, for which whoever moves a case waits with the case locked.
    query = query.order_by(OnboardingCase.id).with_for_update(skip_locked=True)
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def forget_webhooks(session: AsyncSession, case_id: int) -> None:
    """Delete which webhooks were heard about a case."""
    await session.execute(delete(ProviderEventRow).where(ProviderEventRow.case_id == case_id))


async def hear(session: AsyncSession, provider: str, event_id: str, case_id: int, now: datetime) -> bool:
    """Remember a webhook; False when it was heard before."""
    values = {"provider": provider, "event_id": event_id, "case_id": case_id, "heard_at": now}
    insert = insert_once(session, ProviderEventRow).values(**values).returning(ProviderEventRow.event_id)
    return await session.scalar(insert) is not None


async def members_of(session: AsyncSession, case_id: int) -> Sequence[OnboardingMember]:
    """Return an organisation's further wallets."""
    query = select(OnboardingMember).where(OnboardingMember.case_id == case_id).order_by(OnboardingMember.address)
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def member(session: AsyncSession, address: str) -> OnboardingMember | None:
    """Return a wallet's place in an organisation."""
    return await session.get(OnboardingMember, address, populate_existing=True)


async def lock_member(session: AsyncSession, address: str) -> OnboardingMember | None:
    """Return a wallet's place in an organisation, locked: it joins, or opens a case of its own, not both at once."""
    return await session.get(OnboardingMember, address, with_for_update=True, populate_existing=True)


async def add_member(session: AsyncSession, address: str, case_id: int, signatory: bool) -> bool:
    """Insert an invitation; False when the wallet has one, or is an organisation's already."""
    values = {"address": address, "case_id": case_id, "signatory": signatory, "state": MemberState.INVITED.value}
    insert = insert_once(session, OnboardingMember).values(**values).returning(OnboardingMember.address)
    return await session.scalar(insert) is not None


async def remove_member(session: AsyncSession, row: OnboardingMember) -> None:
    """Delete a wallet's place in an organisation."""
    await session.delete(row)
    await session.flush()
