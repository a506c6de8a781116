"""C2SP signed notes, tlog checkpoints and cosignatures, signed with Ed25519 by a key that stays elsewhere."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, TypeVar

from backend.kernel import merkle
from backend.kernel.canonical import EncodingError

ED25519 = b"\x01"
COSIGNATURE = b"\x04"
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_NOTE_CHARACTERS = 16_384
_NAME = re.compile(r"[^\s+]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)")

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A log's name and its Ed25519 public key (32 bytes)."""

    algorithm: ClassVar[bytes] = ED25519
    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.public_key) != PUBLIC_KEY_BYTES:
            raise EncodingError("a verifier key needs a name without spaces or plus, and 32 bytes")

    @property
    def key_hash(self) -> bytes:
        """Return the 4 bytes that name the key in a signature line."""
        return sha256(self.name.encode() + b"\n" + self.algorithm + self.public_key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_hash.hex()}+{_base64(self.algorithm + self.public_key)}"


class CosignerKey(VerifierKey):
    """A witness's name and its Ed25519 public key, for timestamped cosignatures of checkpoints."""

    __slots__ = ()
    algorithm = COSIGNATURE


Key = TypeVar("Key", bound=VerifierKey)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: origin line, number of leaves and root."""

    origin: str
    size: int
    root: bytes


def parse_verifier_key(text: str) -> VerifierKey:
    """Read a log's verifier key string, checking its key hash."""
    return _parse_key(text, VerifierKey, "an Ed25519 verifier key")


def parse_cosigner_key(text: str) -> CosignerKey:
    """Read a witness's verifier key string, checking its key hash."""
    return _parse_key(text, CosignerKey, "the verifier key of a cosigner")


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Return the text of a checkpoint that is signed."""
    if not _NAME.fullmatch(checkpoint.origin) or len(checkpoint.root) != merkle.HASH_BYTES:
        raise EncodingError("a checkpoint needs an origin and a root of 32 bytes")
    if not 0 <= checkpoint.size <= merkle.MAX_SIZE:
        raise EncodingError(f"a log has no size {checkpoint.size}")
    return f"{checkpoint.origin}\n{checkpoint.size}\n{_base64(checkpoint.root)}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's text, refusing every other form of it."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not _SIZE.fullmatch(lines[1]):
        raise EncodingError("not a checkpoint of origin, size and root")
    checkpoint = Checkpoint(lines[0], int(lines[1]), _decode_base64(lines[2]))
    if checkpoint_text(checkpoint) != text:
        raise EncodingError("not a checkpoint in canonical form")
    return checkpoint


def sign_note(text: str, key: VerifierKey, sign: Sign) -> str:
    """Return the note: the text, an empty line, and the signature line of `key`."""
    _check_text(text)
    return f"{text}\n{signature_line(key, sign(text.encode()))}"


def signature_line(key: VerifierKey, signature: bytes) -> str:
    """Return one signature line, with its line end."""
    return f"— {key.name} {_base64(key.key_hash + signature)}\n"


def open_note(note: str, key: VerifierKey, verify: Verify) -> str:
    """Return the text of a note signed by `key`; `verify(public_key, signature, message)` checks Ed25519.

    Signatures by other keys are ignored; one by this key that does not verify is refused.
    """
    text, lines = split_note(note)
    found = False
    for name, content in lines:
        if name == key.name and content[:4] == key.key_hash:
            if not verify(key.public_key, content[4:], text.encode()):
                raise EncodingError("the signature does not verify")
            found = True
    if not found:
        raise EncodingError("the note is not signed by this key")
    return text


def cosign_note(note: str, key: CosignerKey, sign: Sign, time: int) -> str:
    """Return a note with a cosignature line added; `time` is in seconds since 1970."""
    text, _ = split_note(note)
    parse_checkpoint(text)
    return note + signature_line(key, time.to_bytes(8, "big") + sign(_cosigned(text, time)))


def verify_cosignature(note: str, key: CosignerKey, verify: Verify) -> int:
    """Return when `key` cosigned a note, in seconds since 1970; refuse a note that it did not, or not validly."""
    text, lines = split_note(note)
    times = []
    for name, content in lines:
        if name == key.name and content[:4] == key.key_hash:
            time = int.from_bytes(content[4:12], "big")
            if len(content) != 12 + SIGNATURE_BYTES or not verify(key.public_key, content[12:], _cosigned(text, time)):
                raise EncodingError("the cosignature does not verify")
            times.append(time)
    if not times:
        raise EncodingError("the note is not cosigned by this key")
    return max(times)


def split_note(note: str) -> tuple[str, Sequence[tuple[str, bytes]]]:
    """Return a note's text and its signatures (name, key hash and signature), none of them verified."""
    body, separator, tail = note.rpartition("\n\n")
    if len(note) > MAX_NOTE_CHARACTERS or not separator or not tail.endswith("\n"):
        raise EncodingError("not a signed note")
    text = body + "\n"
    _check_text(text)
    matches = [_SIGNATURE.fullmatch(line) for line in tail[:-1].split("\n")]
    signatures = [(match[1], _decode_base64(match[2])) for match in matches if match]
    if len(signatures) != len(matches) or any(len(content) < 5 for _, content in signatures):
        raise EncodingError("a malformed signature line")
    return text, signatures


def _cosigned(text: str, time: int) -> bytes:
    # C2SP tlog-cosignature, "Ed25519 signed message".
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _parse_key(text: str, kind: type[Key], what: str) -> Key:
    name, plus, rest = text.partition("+")
    key_hash, second, encoded = rest.partition("+")
    content = _decode_base64(encoded)
    if not plus or not second or content[:1] != kind.algorithm:
        raise EncodingError(f"not {what}")
    key = kind(name, content[1:])
    if key.key_hash.hex() != key_hash:
        raise EncodingError("the key hash belongs to another key")
    return key


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(ord(character) < 0x20 and character != "\n" for character in text):
        raise EncodingError("a note's text ends in a line end and holds no control characters")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _decode_base64(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EncodingError("not base64") from error
    if _base64(content) != text:
        raise EncodingError("base64 that is not canonical")
    return content
