"""What is known of an applicant, encrypted at rest: AES-256-GCM, bound to its case, under keys that rotate."""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from datetime import date

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backend.kernel.canonical import canonical_json, parse_canonical
from backend.kernel.errors import Invalid, Unavailable
from backend.onboarding.types import Personal

KEY_BYTES = 32
VERSION = b"\x01"
KEY_ID_BYTES, NONCE_BYTES = 8, 12
HEAD = len(VERSION) + KEY_ID_BYTES + NONCE_BYTES
# Names of all lengths give sealed texts of few lengths.
PADDING = 256


class SealingKeys:
    """Seals with the first key and opens with any: a new one is put in front, the old one goes after `reseal`."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise Invalid(f"onboarding keys are {KEY_BYTES} bytes each, in base64url, separated by commas")
        self._newest = _key_id(keys[0])
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._secrets = tuple(keys)

    @classmethod
    def parsed(cls, text: str) -> "SealingKeys":
        """Return the keys of a setting: base64url, newest first, separated by commas."""
        try:
            keys = [
                base64.b64decode(part.strip() + "=" * (-len(part.strip()) % 4), b"-_", validate=True)
                for part in text.split(",")
            ]
        except (binascii.Error, ValueError):
            # Without the library's text and the cause: they may quote a key.
            keys = []
        return cls(keys)

    def derived(self, purpose: str) -> Sequence[bytes]:
        """Return a key for another purpose from each of these, newest first (HKDF-SHA256)."""
        return [HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(key) for key in self._secrets]

    def seal(self, case_id: int, personal: Personal) -> bytes:
        """Return the sealed text of a case's applicant."""
        birth_date = "" if personal.birth_date is None else personal.birth_date.isoformat()
        text = canonical_json(
            {
                "name": personal.name,
                "birth_date": birth_date,
                "country": personal.country,
                "reference": personal.reference,
                "redirect_url": personal.redirect_url,
            }
        )
        nonce = os.urandom(NONCE_BYTES)
        padded = text.ljust(-(-len(text) // PADDING) * PADDING)
        head = VERSION + self._newest + nonce
        return head + self._keys[self._newest].encrypt(nonce, padded, _bound(case_id))

    def open(self, case_id: int, sealed: bytes) -> Personal:
        """Return the applicant of a sealed text; Unavailable when no key opens it for this case."""
        key = self._keys.get(sealed[1 : 1 + KEY_ID_BYTES])
        if sealed[:1] != VERSION or key is None:
            raise Unavailable("what is known of this applicant is sealed with a key that is not here")
        try:
            padded = key.decrypt(sealed[HEAD - NONCE_BYTES : HEAD], sealed[HEAD:], _bound(case_id))
        except InvalidTag:
            raise Unavailable("what is known of this applicant does not belong to this case") from None
        told = parse_canonical(padded.rstrip(b" "))
        if not isinstance(told, dict):
            raise Unavailable("what is known of this applicant is malformed")
        born = told["birth_date"]
        return Personal(**told | {"birth_date": date.fromisoformat(born) if born else None})

    def outdated(self, sealed: bytes) -> bool:
        """Return whether a text is sealed with another key than the newest."""
        return sealed[1 : 1 + KEY_ID_BYTES] != self._newest


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"refi/onboarding/key-id\0" + key).digest()[:KEY_ID_BYTES]


def _bound(case_id: int) -> bytes:
    return f"refi/onboarding/v1/{case_id}".encode()
