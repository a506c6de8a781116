"""Keys stay behind this port: it signs, it never shows a secret."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol


class KeyRole(StrEnum):
    """One key a duty, so that a stolen one opens one door."""

    OPERATOR = "operator"
    ANCHORER = "anchorer"
    PUBLISHER = "publisher"
    COUNTERSIGNER = "countersigner"
    ISSUER = "issuer"
    ATTESTER = "attester"


class Signer(Protocol):
    """Signs for the chain roles (secp256k1) and for the log (Ed25519)."""

    def address(self, role: KeyRole) -> str:
        """Return the role's address in lower-case 0x-hex."""
        ...

    def sign_transaction(self, role: KeyRole, transaction: Mapping[str, Any]) -> bytes:
        """Return the signed raw transaction."""
        ...

    def log_public_key(self) -> bytes:
        """Return the log's Ed25519 public key (32 bytes)."""
        ...

    def sign_note(self, message: bytes) -> bytes:
        """Return the log's Ed25519 signature (64 bytes) of a checkpoint's text."""
        ...
