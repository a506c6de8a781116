"""What endpoints ask for: services by their type, and the request's transaction."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, TypeVar, cast

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from backend.kernel.errors import Unavailable
from backend.kit.db import Database

Service = TypeVar("Service")


def provided(kind: type[Service]) -> Callable[[HTTPConnection], Service]:
    """Return a dependency that yields the one instance of a service which bootstrap registered."""

    def lookup(connection: HTTPConnection) -> Service:
        services = connection.app.state.services
        if kind not in services:
            raise Unavailable(f"{kind.__name__} is not part of this deployment")
        return cast("Service", services[kind])

    return lookup


async def transaction(database: Annotated[Database, Depends(provided(Database))]) -> AsyncIterator[AsyncSession]:
    """Yield the request's transaction; it is durable before the response is sent (scope="function")."""
    async with database.transaction() as session:
        yield session


async def reading(database: Annotated[Database, Depends(provided(Database))]) -> AsyncIterator[AsyncSession]:
    """Yield a read-only transaction that takes no write lock."""
    async with database.reading() as session:
        yield session


Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]
Reading = Annotated[AsyncSession, Depends(reading, scope="function")]
