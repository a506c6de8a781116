"""Every query on accounts, nonces and sessions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import CursorResult, String, cast, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.models import Account, Nonce, RefreshFamily, RefreshToken
from backend.accounts.types import Role
from backend.kit.db import insert_once
from backend.kit.pagination import PageRequest


async def account_by_id(session: AsyncSession, account_id: int) -> Account | None:
    """Return an account by its id."""
    return await session.get(Account, account_id)


async def account_by_address(session: AsyncSession, address: str) -> Account | None:
    """Return an account by its wallet (lower case)."""
    return await session.scalar(select(Account).where(Account.address == address))


async def account_by_pseudonym(session: AsyncSession, pseudonym: str) -> Account | None:
    """Return an account by its name in the log."""
    return await session.scalar(select(Account).where(Account.pseudonym == pseudonym))


async def accounts_page(session: AsyncSession, request: PageRequest) -> Sequence[Account]:
    """Return accounts newest first, one more than the page holds."""
    query = select(Account).order_by(Account.id.desc()).limit(request.limit + 1)
    if request.before is not None:
        query = query.where(Account.id < request.before)
    return (await session.scalars(query)).all()


async def open_account(
    session: AsyncSession, address: str, pseudonym: str, opened_at: datetime, roles: Sequence[str]
) -> Account | None:
    """Insert an account; None when the wallet already has one."""
    values = {"address": address, "pseudonym": pseudonym, "opened_at": opened_at, "roles": list(roles)}
    return await session.scalar(insert_once(session, Account).values(**values).returning(Account))


async def administrators(session: AsyncSession) -> Sequence[Account]:
    """Return the accounts with the admin role; who these are stays so until the transaction ends."""
    # One row for all who change roles: locked one by one, the admins of two moments are taken in two orders
    first = select(Account.id).order_by(Account.id).limit(1).with_for_update(key_share=True)
    await session.execute(first)
    holds_admin = cast(Account.roles, String).like(f'%"{Role.ADMIN}"%')
    return (await session.scalars(select(Account).where(holds_admin).order_by(Account.id))).all()


async def add_nonce(session: AsyncSession, nonce: str, cookie_sha256: str, expires_at: datetime) -> None:
    """Store a challenge."""
    session.add(Nonce(nonce=nonce, cookie_sha256=cookie_sha256, expires_at=expires_at))


async def consume_nonce(session: AsyncSession, nonce: str, cookie_sha256: str, now: datetime) -> bool:
    """Use a challenge up; True exactly once, for the browser that it was made for, before it expires."""
    result = await session.execute(
        update(Nonce)
        .where(
            Nonce.nonce == nonce,
            Nonce.cookie_sha256 == cookie_sha256,
            Nonce.used_at.is_(None),
            Nonce.expires_at > now,
        )
        .values(used_at=now)
    )
    return _rows(result) == 1


async def forget_nonces(session: AsyncSession, now: datetime) -> None:
    """Delete challenges that have expired."""
    await session.execute(delete(Nonce).where(Nonce.expires_at <= now))


async def add_family(
    session: AsyncSession, family_id: str, account_id: int, opened_at: datetime, expires_at: datetime
) -> None:
    """Open a session."""
    session.add(RefreshFamily(id=family_id, account_id=account_id, opened_at=opened_at, expires_at=expires_at))
    await session.flush()


async def add_token(session: AsyncSession, token_sha256: str, family_id: str, issued_at: datetime) -> None:
    """Store the hash of a session's next refresh token."""
    session.add(RefreshToken(token_sha256=token_sha256, family_id=family_id, issued_at=issued_at))
    await session.flush()


async def use_token(session: AsyncSession, token_sha256: str, now: datetime) -> bool:
    """Use a refresh token up; True exactly once."""
    result = await session.execute(
        update(RefreshToken)
        .where(RefreshToken.token_sha256 == token_sha256, RefreshToken.used_at.is_(None))
        .values(used_at=now)
    )
    return _rows(result) == 1


async def family_of_token(session: AsyncSession, token_sha256: str) -> RefreshFamily | None:
    """Return the session that a refresh token belongs to, used or not, locked until the transaction ends."""
    return await session.scalar(
        select(RefreshFamily)
        .join(RefreshToken, RefreshToken.family_id == RefreshFamily.id)
        .where(RefreshToken.token_sha256 == token_sha256)
        .with_for_update(of=RefreshFamily)
    )


async def live_account(session: AsyncSession, account_id: int, family_id: str, now: datetime) -> Account | None:
    """Return the account of a session that is neither revoked nor over."""
    return await session.scalar(
        select(Account)
        .join(RefreshFamily, RefreshFamily.account_id == Account.id)
        .where(
            Account.id == account_id,
            RefreshFamily.id == family_id,
            RefreshFamily.revoked_at.is_(None),
            RefreshFamily.expires_at > now,
        )
    )


async def revoke_family(session: AsyncSession, family_id: str, now: datetime, because: str) -> bool:
    """End a session; True when it was open."""
    result = await session.execute(
        update(RefreshFamily)
        .where(RefreshFamily.id == family_id, RefreshFamily.revoked_at.is_(None))
        .values(revoked_at=now, revoked_because=because)
    )
    return _rows(result) == 1


def _rows(result: object) -> int:
    return result.rowcount if isinstance(result, CursorResult) else 0
