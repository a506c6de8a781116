"""What evidence packs are made of."""

from collections.abc import Mapping
from typing import Any, Protocol

from backend.kernel.canonical import JsonValue

FORMAT = "refi-evidence/1"
CHAIN_FIELDS = ("account", "event", "prev", "seq")
ATTESTED_FIELDS = ("epoch", "event", "position_commitment", "subject")
EPOCH_CLOSED = "epoch.closed"

Pack = dict[str, JsonValue]


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
