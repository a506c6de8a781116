"""Access tokens (RFC 8725: fixed algorithm, issuer, audience, type and key id) and random secrets."""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt

from backend.kernel.errors import Unauthorized

ALGORITHM = "HS256"
TYPE = "at+jwt"
AUDIENCE = "refi-api"
MIN_SECRET_BYTES = 32
CLAIMS = ["iss", "aud", "sub", "sid", "iat", "exp", "jti"]


def random_secret() -> str:
    """Return base64url of 32 random bytes, unpadded."""
    return urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def sha256_hex(text: str) -> str:
    """Return the lower-case hex SHA-256 of a text: how secrets are stored."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says: the account and the session."""

    account_id: int
    session_id: str


class AccessTokens:
    """Issues and reads access tokens with one secret."""

    def __init__(self, secret: bytes, issuer: str, lifetime: timedelta) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"the token secret is shorter than {MIN_SECRET_BYTES} bytes")
        self._secret = secret
        self._issuer = issuer
        self.lifetime = lifetime
        self._key_id = hashlib.sha256(b"refi/kid/v1\0" + secret).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"AccessTokens(kid={self._key_id})"

    def issue(self, claims: AccessClaims, now: datetime) -> str:
        """Return a signed token that is good for the lifetime."""
        payload = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": str(claims.account_id),
            "sid": claims.session_id,
            "iat": int(now.timestamp()),
            "exp": int((now + self.lifetime).timestamp()),
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(payload, self._secret, ALGORITHM, headers={"typ": TYPE, "kid": self._key_id})

    def read(self, token: str, now: datetime) -> AccessClaims:
        """Return what a good token says; raise Unauthorized for any other."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("kid") != self._key_id or header.get("typ") != TYPE:
                raise Unauthorized("the access token is not one of ours")
            payload: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={"require": CLAIMS, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            issued, expires = int(payload["iat"]), int(payload["exp"])
            claims = AccessClaims(int(payload["sub"]), str(payload["sid"]))
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthorized("the access token is not good") from error
        # Checked against the platform's clock: the library knows only the machine's.
        if not issued - 5 <= now.timestamp() < expires or "nbf" in payload:
            raise Unauthorized("the access token has expired")
        return claims
