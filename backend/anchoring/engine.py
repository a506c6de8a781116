"""What the AuditAnchor contract computes: log ids and the stored word."""

from backend.anchoring.types import AnchorHead
from backend.kernel.canonical import EncodingError
from backend.kernel.keccak import keccak256

WORD = 32


def log_id(origin: str, public_key: bytes, chain_id: int, contract: str) -> bytes:
    """Return keccak256(abi.encode(origin, public_key, chain_id, contract)), the id of a log."""
    text = origin.encode()
    padded = text + bytes(-len(text) % WORD)
    # The string is dynamic: its place, after four words, stands in the first one.
    encoded = _uint(4 * WORD), _word(public_key), _uint(chain_id), _address(contract), _uint(len(text)), padded
    return keccak256(b"".join(encoded))


def anchor_word(log: bytes, index: int, head: AnchorHead) -> bytes:
    """Return keccak256(abi.encode(log, index, size, root, heads root)), what the contract stores."""
    encoded = _word(log), _uint(index), _uint(head.size), _word(head.root), _word(head.heads_root)
    return keccak256(b"".join(encoded))


def _uint(value: int) -> bytes:
    return value.to_bytes(WORD, "big")


def _word(content: bytes) -> bytes:
    if len(content) != WORD:
        raise EncodingError(f"a word has {WORD} bytes, not {len(content)}")
    return content


def _address(text: str) -> bytes:
    content = bytes.fromhex(text.removeprefix("0x"))
    if len(content) != 20:
        raise EncodingError("an address has 20 bytes")
    return bytes(WORD - 20) + content
