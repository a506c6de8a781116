"""What was signed last is what the next checkpoint extends."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.audit.types import LogCheckpoint
from backend.kernel.canonical import EncodingError
from backend.kernel.errors import Tampered
from backend.kernel.signed_note import Checkpoint, VerifierKey, checkpoint_text, open_note


def require_signed(key: VerifierKey, kept: LogCheckpoint | None, size: int, root: bytes) -> None:
    """Raise Tampered unless the newest kept checkpoint is signed by the log's key and is of this very tree."""
    if kept is None:
        if size:
            raise Tampered("the log has entries and no checkpoint of them", size=size)
        return
    try:
        text = open_note(kept.note, key, _verifies)
    except EncodingError as error:
        raise Tampered(f"the newest checkpoint is not this log's: {error}", size=kept.size) from error
    if (kept.size, kept.root) != (size, root) or text != checkpoint_text(Checkpoint(key.name, size, root)):
        raise Tampered("the stored tree is not the one that was signed last", size=size)


def _verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
