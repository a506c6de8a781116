"""Fixes records in their accounts' chains."""

import secrets
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.engine.entries import entry_text
from backend.audit.repository import records, tree
from backend.audit.types import Head
from backend.kernel.canonical import JsonValue, canonical_json, decode_bytes, encode_bytes, time_string
from backend.kernel.clock import epoch_of
from backend.kernel.commitment import commit
from backend.kernel.errors import Invalid
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Recorded

ACCOUNT_BYTES = 32
OWN_FIELDS = frozenset({"event", "account", "seq", "prev", "ts_event", "ts_recorded", "clock", "actor", "policy"})


class AuditJournal:
    """Fixes a record in the caller's transaction: durable means acknowledged."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def record(
        self,
        session: AsyncSession,
        account: str,
        event: str,
        fields: Mapping[str, JsonValue],
        *,
        actor: str,
        policy: str,
        ts_event: datetime | None = None,
    ) -> Recorded:
        """Add a record to the account's chain and return its place and commitment."""
        if taken := OWN_FIELDS & fields.keys():
            raise Invalid(f"the journal itself writes {', '.join(sorted(taken))}")
        chains = await records.chains_of(session)
        if account == SYSTEM_ACCOUNT:
            chains.system_account = account = chains.system_account or await tree.system_account(session)
        decode_bytes(account, ACCOUNT_BYTES)
        head = await records.lock_head(session, chains, account)
        happened = ts_event or self._clock.business()
        # A clock that was set back must not turn the account's history round.
        recorded = max(time_string(self._clock.wall()), head.ts_recorded)
        whole: dict[str, JsonValue] = {
            **fields,
            "event": event,
            "account": account,
            "seq": head.seq + 1,
            "prev": encode_bytes(head.commitment),
            "ts_event": time_string(happened),
            "ts_recorded": recorded,
            "clock": self._clock.source(),
            "actor": actor,
            "policy": policy,
        }
        salt = secrets.token_bytes(32)
        commitment = commit(whole, salt)
        entry_text(commitment, event)
        record_id = await records.next_record_id(session, chains)
        chains.add(
            Head(account, head.seq + 1, commitment, recorded),
            (
                record_id,
                account,
                head.seq + 1,
                event,
                commitment,
                head.commitment,
                salt,
                canonical_json(whole).decode(),
                recorded,
                epoch_of(happened),
                False,
            ),
        )
        return Recorded(record_id, account, head.seq + 1, commitment)

    async def system_account(self, session: AsyncSession) -> str:
        """Return the pseudonym behind SYSTEM_ACCOUNT."""
        return await tree.system_account(session)
