"""What endpoints ask for: services by their type, and the request's transaction."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kit.db import Database

Service = TypeVar("Service")


def provided(kind: type[Service]) -> Callable[[Request], Service]:
    """Return a dependency that yields the one instance of a service which bootstrap registered."""

    def lookup(request: Request) -> Service:
        return cast("Service", request.app.state.services[kind])

    return lookup


async def transaction(database: Annotated[Database, Depends(provided(Database))]) -> AsyncIterator[AsyncSession]:
    """Yield the request's transaction; it is durable before the response is sent (scope="function")."""
    async with database.transaction() as session:
        yield session


Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]
