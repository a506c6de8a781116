"""SQLite under an event loop: statements run in place, only what may wait for a lock or the disk goes to a thread.

A statement on SQLite takes microseconds, and handing it to a thread and back takes ten times as long. SQLAlchemy's
"aiosqlite" dialect takes this module's `Driver` in place of that library.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy.util.concurrency import await_

# A writer that commits or waits for its turn, and new connections beside it.
THREADS = 4
# A commit that took longer sends the next ones to a thread.
SLOW_SECONDS = 0.001
CAUTIOUS_COMMITS = 64
CACHE_KIB = 16_000
LOG_PAGES = 4_000
LOG_BYTES = LOG_PAGES * 4_096

T = TypeVar("T")


class Cursor(sqlite3.Cursor):
    """Runs a statement in place and takes every row at once, so that no statement stays open."""

    owner: "Connection"
    _rows: deque[Any]

    def execute(self, sql: str, parameters: Any = (), /) -> "Cursor":
        """Run one statement."""
        # SQLAlchemy takes a statement that awaits nothing for one that blocks the loop, and refuses it.
        await_(_done())
        self.owner.require_transaction()
        super().execute(sql, parameters if parameters is not None else ())
        self._rows = deque(super().fetchall() if self.description else ())
        return self

    def executemany(self, sql: str, parameters: Any, /) -> "Cursor":
        """Run one statement for each row of parameters."""
        self.owner.require_transaction()
        super().executemany(sql, parameters)
        self._rows = deque()
        return self

    def fetchone(self) -> Any:
        """Return the next row, nothing at the end."""
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        wanted = min(self.arraysize if size is None else size, len(self._rows))
        return [self._rows.popleft() for _ in range(wanted)]

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        rows, self._rows = list(self._rows), deque()
        return rows

    def __iter__(self) -> "Cursor":
        return self

    def __next__(self) -> Any:
        if not self._rows:
            raise StopIteration
        return self._rows.popleft()

    async def _async_soft_close(self) -> None:
        """Do nothing: the rows are here and the statement is over."""


class Connection:
    """A connection whose waiting parts run in a thread; a task that is cancelled meanwhile waits for their end."""

    def __init__(self, connection: sqlite3.Connection, executor: ThreadPoolExecutor, lock_wait_ms: int) -> None:
        self._connection = connection
        self._executor = executor
        self._lock_wait_ms = lock_wait_ms
        self._changes = connection.total_changes
        self._cautious = CAUTIOUS_COMMITS
        self._begun = False

    def cursor(self, server_side: bool = False) -> Cursor:
        """Return a cursor; every one is on this side."""
        del server_side
        opened = self._connection.cursor(Cursor)
        opened.owner = self
        return opened

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Run one statement."""
        return self.cursor().execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Run one statement and return its rows, past every layer above."""
        self.require_transaction()
        return self._connection.execute(sql, parameters).fetchall()

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters, past every layer above."""
        self.require_transaction()
        self._connection.executemany(sql, rows)

    def require_transaction(self) -> None:
        """Raise when SQLite itself undid the transaction, as on a full disk: a later statement would stand alone."""
        if self._begun and not self._connection.in_transaction:
            raise sqlite3.OperationalError("the transaction was undone by an earlier fault")

    def begin(self) -> None:
        """Begin to read."""
        self._connection.execute("BEGIN")
        self._begun = True

    def begin_immediate(self) -> None:
        """Begin to write: in place where the lock is free, else wait for it in a thread."""
        self._changes = self._connection.total_changes
        self._connection.execute("PRAGMA busy_timeout=0")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            self._connection.execute(f"PRAGMA busy_timeout={self._lock_wait_ms}")
            self._wait_for_lock()
        else:
            self._connection.execute(f"PRAGMA busy_timeout={self._lock_wait_ms}")
        self._begun = True

    def _wait_for_lock(self) -> None:
        try:
            _in_thread(self._executor, lambda: self._connection.execute("BEGIN IMMEDIATE"))
        except asyncio.CancelledError:
            # The lock may have come after the caller had left.
            self._connection.rollback()
            raise

    def commit(self) -> None:
        """End the transaction, durable when this returns."""
        self.require_transaction()
        started = time.perf_counter()
        if self._connection.total_changes == self._changes or not self._cautious:
            self._connection.commit()
        else:
            _in_thread(self._executor, self._connection.commit)
        self._begun = False
        self._changes = self._connection.total_changes
        # Where the disk answers at once, the way to a thread and back takes longer than the loop would stand still.
        if time.perf_counter() - started > SLOW_SECONDS:
            self._cautious = CAUTIOUS_COMMITS
        elif self._cautious:
            self._cautious -= 1

    def rollback(self) -> None:
        """Undo the transaction."""
        self._begun = False
        self._connection.rollback()

    def close(self) -> None:
        """Give the connection back to the system; the last one of a file empties its write-ahead log."""
        _in_thread(self._executor, self._connection.close)

    def terminate(self) -> None:
        """Close at once, outside an event loop too."""
        self._connection.close()

    def create_function(self, *args: Any, **kwargs: Any) -> None:
        """Give SQL a function."""
        self._connection.create_function(*args, **kwargs)

    @property
    def isolation_level(self) -> str | None:
        """What the driver itself would begin with: nothing."""
        return self._connection.isolation_level

    @isolation_level.setter
    def isolation_level(self, value: str | None) -> None:
        self._connection.isolation_level = value  # type: ignore[assignment]


class Driver:
    """What SQLAlchemy takes for a DB-API module; every connection is in WAL mode with synchronous=FULL."""

    Error = sqlite3.Error
    DatabaseError = sqlite3.DatabaseError
    IntegrityError = sqlite3.IntegrityError
    NotSupportedError = sqlite3.NotSupportedError
    OperationalError = sqlite3.OperationalError
    ProgrammingError = sqlite3.ProgrammingError
    InterfaceError = sqlite3.InterfaceError
    InternalError = sqlite3.InternalError
    DataError = sqlite3.DataError
    Binary = sqlite3.Binary
    PARSE_COLNAMES = sqlite3.PARSE_COLNAMES
    PARSE_DECLTYPES = sqlite3.PARSE_DECLTYPES
    sqlite_version = sqlite3.sqlite_version
    sqlite_version_info = sqlite3.sqlite_version_info
    paramstyle = "qmark"
    has_stop = True
    exceptions_module = sqlite3

    def __init__(self, lock_wait_ms: int, *, query_only: bool = False) -> None:
        self._lock_wait_ms = lock_wait_ms
        self._query_only = query_only
        self._executor = ThreadPoolExecutor(THREADS, "sqlite")

    def connect(self, path: str, **options: Any) -> Connection:
        """Open a database file."""
        opened = _in_thread(self._executor, lambda: self._open(path, options))
        return Connection(opened, self._executor, self._lock_wait_ms)

    def close(self) -> None:
        """End the threads, once their work is done."""
        self._executor.shutdown(wait=False)

    def _open(self, path: str, options: dict[str, Any]) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(
            path, **{**options, "check_same_thread": False, "isolation_level": None}
        )
        try:
            for pragma in self._pragmas():
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _pragmas(self) -> Iterator[str]:
        yield f"busy_timeout={self._lock_wait_ms}"
        yield "journal_mode=WAL"
        yield "synchronous=FULL"
        yield "foreign_keys=ON"
        # A transaction that outgrows the cache writes its pages twice, and so does a small log before the next batch.
        yield f"cache_size=-{CACHE_KIB}"
        yield f"wal_autocheckpoint={LOG_PAGES}"
        # A reader that stayed long lets the log grow: what it grew to is given back.
        yield f"journal_size_limit={LOG_BYTES}"
        # What a row held before a change or a move must not stay behind in its page: erased means gone.
        yield "secure_delete=ON"
        if self._query_only:
            yield "query_only=ON"


async def _done() -> None:
    return


def _in_thread(executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await_(_finished(executor, work))


async def _finished(executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    running = asyncio.get_running_loop().run_in_executor(executor, work)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            # A connection that a thread still works on must not go to somebody else.
            cancelled = error
    if cancelled is not None:
        running.exception()
        raise cancelled
    return running.result()
