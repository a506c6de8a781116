"""What evidence packs are made of."""

from collections.abc import Mapping
from typing import Any, Protocol

from backend.accounts.types import Caller
from backend.kernel.canonical import JsonValue

FORMAT = "refi-evidence/1"
CHAIN_FIELDS = ("account", "event", "prev", "seq")
NAMING_FIELDS = ("account", "event", "seq")
ATTESTED_FIELDS = ("epoch", "event", "position_commitment", "subject")
# What the parts `model` and `compliance` repeat, and what the verifier needs to check them.
DECIDED_FIELDS = ("action", "features", "model")
JUDGED_FIELDS = ("compliance_receipt", "instrument", "model", "notional", "subject")
EPOCH_CLOSED = "epoch.closed"
# The caller, the system account, a wallet, or a pseudonym.
ACCOUNT_NAME = r"^(me|system|0x[0-9a-fA-F]{40}|[A-Za-z0-9_-]{43})$"

Pack = dict[str, JsonValue]


class Directory(Protocol):
    """Knows accounts by their wallets."""

    async def find(self, session: Any, *, address: str) -> Caller:
        """Return an account; raise NotFound."""
        ...


class PackParts(Protocol):
    """Finds what other stages know about a record: each part as the pack's format says, None where there is none."""

    async def model(self, session: Any, fields: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
        """Return the `model` part for the record of a decision."""
        ...

    async def compliance(self, session: Any, fields: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
        """Return the `compliance` part for the record of a judged order."""
        ...

    async def var(self, session: Any, fields: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
        """Return the `var` part for an `epoch.closed` record that an attestation names."""
        ...


class NoParts:
    """Knows nothing: packs of the log alone."""

    async def model(self, session: Any, fields: Mapping[str, Any]) -> None:
        """Know of no model."""

    async def compliance(self, session: Any, fields: Mapping[str, Any]) -> None:
        """Know of no receipt."""

    async def var(self, session: Any, fields: Mapping[str, Any]) -> None:
        """Know of no attestation."""
