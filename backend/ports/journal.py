"""What must be remembered for ever is handed to the journal inside the same transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

SYSTEM_ACCOUNT = "system"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record that is fixed once the transaction commits: its place in the account's chain and its commitment."""

    record_id: int
    account: str
    seq: int
    commitment: bytes


class Journal(Protocol):
    """Takes the outcomes of every domain; the audit log implements it."""

    async def record(
        self,
        session: Any,
        account: str,
        event: str,
        fields: Mapping[str, Any],
        *,
        actor: str,
        policy: str,
        ts_event: datetime | None = None,
    ) -> Recorded:
        """Fix a record in the session's transaction.

        `account` is the pseudonym of a trading account, or SYSTEM_ACCOUNT for events that belong to no trader.
        `fields` are canonical JSON values (no float, no null); the journal adds event, account, seq, prev, ts_event
        (business time unless given), ts_recorded, clock, actor and policy.
        """
        ...
