"""Rows that wait in memory until their transaction ends, so that many are written at once.

Whoever names one of their tables in SQL finds them written, and a savepoint that is rolled back takes back what came
after it.
"""

import weakref
from collections.abc import Sequence
from typing import Any, Protocol, Self

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, SessionTransaction

DEFERRED = "deferred"
SNAPSHOTS = "deferred.snapshots"
# The option of a statement that names the tables, and never the rows that wait.
BESIDE = "beside_deferred"


class Deferred(Protocol):
    """What waits in one session."""

    @property
    def tables(self) -> Sequence[str]:
        """The tables whose readers must see what waits."""
        ...

    def write(self, connection: Connection) -> None:
        """Write what waits, then forget it; what cannot be written goes on waiting, so that no commit passes it."""
        ...

    def copy(self) -> Self:
        """Return the same as of now, for a savepoint to come back to."""
        ...


class DeferringSession(Session):
    """A session in which rows may wait; its engine is watched."""


def defer(session: Session, deferred: Deferred) -> None:
    """Let rows wait in a session that has its connection."""
    if not isinstance(session, DeferringSession):
        raise TypeError("rows wait only in a session that writes")
    session.info[DEFERRED] = deferred
    session.connection().info[DEFERRED] = weakref.ref(session)


def deferred_in(session: Session) -> Any:
    """Return what waits in a session, nothing where nothing ever did."""
    return session.info.get(DEFERRED)


def watch(engine: Engine) -> None:
    """Write what waits before any statement of an engine that names its tables, and before any commit."""
    event.listen(engine, "before_cursor_execute", _before_statement)
    # The connection's own commit: a session's announces itself while a savepoint may still be open.
    event.listen(engine, "commit", _before_commit)


def _before_statement(
    connection: Connection, _cursor: Any, statement: str, _parameters: Any, context: Any, _executemany: bool
) -> None:
    if not context.execution_options.get(BESIDE):
        write_before(connection, statement)


def write_before(connection: Connection, statement: str) -> None:
    """Write what waits on a connection if a statement names its tables."""
    deferred = _waiting_on(connection)
    if deferred is not None and any(table in statement for table in deferred.tables):
        deferred.write(connection)


def _before_commit(connection: Connection) -> None:
    deferred = _waiting_on(connection)
    if deferred is not None:
        deferred.write(connection)


def _waiting_on(connection: Connection) -> Deferred | None:
    owner = connection.info.get(DEFERRED)
    session = owner() if owner is not None else None
    return session.info.get(DEFERRED) if session is not None else None


def _keep_snapshot(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        deferred = session.info.get(DEFERRED)
        session.info.setdefault(SNAPSHOTS, {})[transaction] = deferred.copy() if deferred is not None else None


def _restore_snapshot(session: Session, transaction: SessionTransaction) -> None:
    if not transaction.nested:
        return
    snapshot = session.info.get(SNAPSHOTS, {}).get(transaction)
    if snapshot is None:
        session.info.pop(DEFERRED, None)
    else:
        session.info[DEFERRED] = snapshot.copy()


def _forget(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(DEFERRED, None)
        session.info.pop(SNAPSHOTS, None)


event.listen(DeferringSession, "after_transaction_create", _keep_snapshot)
event.listen(DeferringSession, "after_soft_rollback", _restore_snapshot)
event.listen(DeferringSession, "after_transaction_end", _forget)
