"""Access tokens: every way of forging one fails."""

import json
import stat
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from backend.accounts.engine.tokens import AccessClaims, AccessTokens
from backend.accounts.service import access_tokens
from backend.kernel.errors import Unauthorized
from tests.backend.accounts.site import local_settings

SECRET = b"s" * 32
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
TOKENS = AccessTokens(SECRET, "https://refi.example", timedelta(minutes=15))
GOOD = TOKENS.issue(AccessClaims(7, "session"), NOW)


def forged(*, header: dict[str, Any] | None = None, secret: bytes = SECRET, alg: str = "HS256", **claims: Any) -> str:
    """Return a token like a good one with changes; None leaves a claim out."""
    known = jwt.decode(GOOD, options={"verify_signature": False}) | claims
    headers = jwt.get_unverified_header(GOOD) | (header or {})
    headers.pop("alg")
    payload = {name: value for name, value in known.items() if value is not None}
    return jwt.encode(payload, secret, alg, headers=headers)


def test_a_good_token_says_who_it_is_for() -> None:
    assert TOKENS.read(GOOD, NOW) == AccessClaims(7, "session")
    assert TOKENS.read(forged(), NOW) == AccessClaims(7, "session")


def unsigned() -> str:
    """Return a token with algorithm none."""
    parts = [{"alg": "none", "typ": "at+jwt", "kid": jwt.get_unverified_header(GOOD)["kid"]}, {"sub": "7"}]
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@pytest.mark.parametrize(
    "make",
    [
        unsigned,
        lambda: forged(secret=b"t" * 32),
        lambda: forged(secret=b"s" * 64, alg="HS512"),
        lambda: forged(iss="https://evil.example"),
        lambda: forged(aud="another-api"),
        lambda: forged(header={"kid": "../../etc/passwd"}),
        lambda: forged(header={"typ": "JWT"}),
        lambda: forged(sid=None),
        lambda: forged(jti=None),
        lambda: forged(exp=None),
        lambda: forged(sub="seven"),
        lambda: forged(nbf=0),
        lambda: forged(iat=int(NOW.timestamp()) + 60),
        lambda: GOOD[:-2] + ("aa" if not GOOD.endswith("aa") else "bb"),
        lambda: GOOD.rpartition(".")[0] + ".",
        lambda: "",
        lambda: "a.b.c",
    ],
)
def test_any_other_token_is_refused(make: Callable[[], str]) -> None:
    with pytest.raises(Unauthorized):
        TOKENS.read(make(), NOW)


def test_a_token_expires() -> None:
    TOKENS.read(GOOD, NOW + timedelta(minutes=14, seconds=59))
    with pytest.raises(Unauthorized):
        TOKENS.read(GOOD, NOW + timedelta(minutes=15))


def test_a_short_secret_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ValueError, match="shorter"):
        AccessTokens(b"short", "https://refi.example", timedelta(minutes=15))
    assert "sss" not in repr(TOKENS)


def test_a_local_secret_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    settings = local_settings(tmp_path / "state")
    token = access_tokens(settings).issue(AccessClaims(7, "session"), NOW)
    assert access_tokens(settings).read(token, NOW) == AccessClaims(7, "session")
    path = tmp_path / "state" / "token_secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) >= 32


def test_a_configured_secret_is_used(tmp_path: Path) -> None:
    settings = local_settings(tmp_path, token_secret=SecretStr("c" * 32))
    token = access_tokens(settings).issue(AccessClaims(7, "session"), NOW)
    assert access_tokens(local_settings(tmp_path, token_secret=SecretStr("c" * 32))).read(token, NOW)
    with pytest.raises(Unauthorized):
        access_tokens(local_settings(tmp_path, token_secret=SecretStr("d" * 32))).read(token, NOW)
    assert not (tmp_path / "token_secret").exists()
