"""One engine, one transaction a request or task; nobody else commits."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any

from sqlalchemy import Connection, DateTime, Dialect, MetaData, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

from backend.kernel.errors import Unavailable
from backend.kit.deferred import DeferringSession, watch, write_before
from backend.kit.sqlite import Connection as InPlace
from backend.kit.sqlite import Driver

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
WRITE_LOCK_SECONDS = 15


class Base(DeclarativeBase):
    """The parent of every table."""

    metadata = MetaData(naming_convention=NAMING)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every database; naive values are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Turn an aware moment into UTC."""
        if value is not None and value.tzinfo is None:
            raise TypeError("a naive datetime cannot be stored")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Give back the zone that SQLite does not keep."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """The engines and their transactions: one that writes, one that only reads.

    Each has its own pool: a request that holds its transaction and reads beside it never waits for itself.
    """

    def __init__(self, url: str, *, lock_wait_ms: int = WRITE_LOCK_SECONDS * 1_000) -> None:
        sqlite = url.startswith("sqlite")
        self.engine: AsyncEngine
        self._reader: AsyncEngine
        self._drivers: list[Driver] = []
        # A statement's parameters are records, salts and hashes of tokens: no error may quote them.
        options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": not sqlite}
        if sqlite:
            self._drivers = [Driver(lock_wait_ms), Driver(lock_wait_ms, query_only=True)]
            self.engine, self._reader = [create_async_engine(url, module=one, **options) for one in self._drivers]
            # A deferred transaction that upgrades to a write fails at once when another writer got in between.
            event.listen(self.engine.sync_engine, "begin", _begin_to_write)
            event.listen(self._reader.sync_engine, "begin", _begin_to_read)
        else:
            self.engine, self._reader = [create_async_engine(url, **options) for _ in range(2)]
            event.listen(self._reader.sync_engine, "begin", _make_read_only)
        # SQLite has one writer: waiting here is fair, and no connection is held meanwhile.
        self._writers = asyncio.Semaphore(1) if sqlite else None
        watch(self.engine.sync_engine)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, sync_session_class=DeferringSession)
        self._reading = async_sessionmaker(self._reader, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Yield a session whose work is durable when the block ends, or gone when it raises."""
        if self._writers is None:
            async with self._sessions() as session, session.begin():
                yield session
            return
        try:
            async with asyncio.timeout(WRITE_LOCK_SECONDS):
                await self._writers.acquire()
        except TimeoutError as error:
            raise Unavailable("the database is busy") from error
        try:
            async with _in_place(self._sessions()) as session:
                yield session
        finally:
            self._writers.release()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session on one consistent view that takes no write lock and refuses to write."""
        if self._writers is None:
            async with self._reading() as session, session.begin():
                yield session
            return
        async with _in_place(self._reading()) as session:
            yield session

    async def close(self) -> None:
        """Give every connection back."""
        await self.engine.dispose()
        await self._reader.dispose()
        for driver in self._drivers:
            driver.close()


@asynccontextmanager
async def _in_place(session: AsyncSession) -> AsyncIterator[AsyncSession]:
    # SQLAlchemy closes a session in a task of its own, safe from cancellation; on SQLite closing waits for nothing.
    try:
        async with session.begin():
            yield session
    finally:
        await session.close()


def _begin_to_write(connection: Any) -> None:
    try:
        connection.connection.dbapi_connection.begin_immediate()
    except sqlite3.OperationalError as error:
        busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
        raise Unavailable("the database is busy" if busy else f"the database does not answer: {error}") from error


def _begin_to_read(connection: Any) -> None:
    connection.connection.dbapi_connection.begin()


def _make_read_only(connection: Any) -> None:
    # One view for all of its statements, as a reader on SQLite has.
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def insert_once(session: AsyncSession, model: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that leaves a row alone which is already there, for either database."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(model).on_conflict_do_nothing()
    return sqlite.insert(model).on_conflict_do_nothing()


async def fetch(session: AsyncSession, sql: str, parameters: tuple[Any, ...] = ()) -> Sequence[Any]:
    """Return the rows of a query, its places marked by "?", as the driver gives them."""
    return await session.run_sync(lambda within: rows_of(within.connection(), sql, parameters))


def rows_of(connection: Connection, sql: str, parameters: tuple[Any, ...]) -> Sequence[Any]:
    """Return the rows of a query, its places marked by "?", as the driver gives them."""
    if (in_place := _in_place_of(connection, sql)) is not None:
        with _named(connection, sql):
            return in_place.rows(sql, parameters)
    return connection.exec_driver_sql(_driver_sql(connection, sql), parameters).all()


def execute_many(connection: Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run one statement, its places marked by "?", for rows of plain values that the driver takes as they are."""
    if not rows:
        return
    if (in_place := _in_place_of(connection, sql)) is not None:
        with _named(connection, sql):
            in_place.run_many(sql, rows)
        return
    connection.exec_driver_sql(_driver_sql(connection, sql), list(rows))


def _in_place_of(connection: Connection, sql: str) -> InPlace | None:
    # Past SQLAlchemy, whose share of a statement on SQLite is ten times SQLite's own.
    driver = connection.connection.dbapi_connection
    if not isinstance(driver, InPlace):
        return None
    write_before(connection, sql)
    return driver


@contextmanager
def _named(connection: Connection, sql: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        named = DBAPIError.instance(sql, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect)
        raise named from error


def _driver_sql(connection: Connection, sql: str) -> str:
    return _numbered(sql) if connection.dialect.name == "postgresql" else sql


@cache
def _numbered(sql: str) -> str:
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", sql)
