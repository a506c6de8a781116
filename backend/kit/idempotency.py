"""One effect a key: the answer is stored in the transaction that has the effect."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Header, Request
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.errors import Conflict, Invalid
from backend.kit.models import IdempotencyKey

KEY_FORM = re.compile(r"[\x21-\x7e]{1,128}")
# Stands for a request that was erased: its key is used, by whatever it came with.
FORGOTTEN = ""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """What a request was answered: HTTP status and body; `replayed` when it is a stored one."""

    status: int
    body: str
    media_type: str = "application/json"
    replayed: bool = False


Action = Callable[[], Awaitable[StoredResponse]]


async def once(session: AsyncSession, account_id: int, key: str, body_sha256: str, action: Action) -> StoredResponse:
    """Return the action's answer, or the stored one when the account used the key before.

    Raises Invalid when the key came with another body before, Conflict while a request with it is being worked on.
    A fault in the action rolls the caller's transaction back, and the key is free again.
    """
    check_key(key)
    await _claim(session, account_id, key)
    stored = await session.scalar(
        select(IdempotencyKey).where(IdempotencyKey.account_id == account_id, IdempotencyKey.key == key)
    )
    if stored is not None:
        if stored.request_sha256 not in {body_sha256, FORGOTTEN}:
            raise Invalid("this Idempotency-Key was used with another request")
        return StoredResponse(stored.status, stored.response, stored.media_type, replayed=True)
    answer = await action()
    session.add(
        IdempotencyKey(
            account_id=account_id,
            key=key,
            request_sha256=body_sha256,
            status=answer.status,
            media_type=answer.media_type,
            response=answer.body,
        )
    )
    await session.flush()
    return replace(answer, replayed=False)


def check_key(key: str) -> str:
    """Return a usable key; raise Invalid when it is missing or malformed."""
    if not key:
        raise Invalid("the Idempotency-Key header is missing")
    if not KEY_FORM.fullmatch(key):
        raise Invalid("an Idempotency-Key has 1 to 128 printable ASCII characters")
    return key


async def _claim(session: AsyncSession, account_id: int, key: str) -> None:
    # SQLite has one writer, which is us: nobody else can be working on the key.
    if session.get_bind().dialect.name != "postgresql":
        return
    word = hashlib.sha256(f"idempotency\0{account_id}\0{key}".encode()).digest()[:8]
    lock = int.from_bytes(word, "big", signed=True)
    if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": lock}):
        raise Conflict("a request with this Idempotency-Key is being worked on")


def idempotency_key(header: Annotated[str, Header(alias="Idempotency-Key")] = "") -> str:
    """Read the header; raise Invalid when it is missing or malformed."""
    return check_key(header)


async def body_sha256(request: Request) -> str:
    """Return the hash of what makes a request the same one: method, path, query, body."""
    head = f"{request.method}\0{request.url.path}\0{request.url.query}\0".encode()
    return hashlib.sha256(head + await request.body()).hexdigest()


IdempotencyKeyHeader = Annotated[str, Depends(idempotency_key)]
BodySha256 = Annotated[str, Depends(body_sha256)]
