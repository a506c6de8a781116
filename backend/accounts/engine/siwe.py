"""Check a signed EIP-4361 message for everything that a message and its signature can show."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError
from siwe import SiweMessage, VerificationError

from backend.accounts.types import SignIn, SignInFailed

STATEMENT = "Sign in to ReFi.Trading. This does not move funds."
# secp256k1's group order, halved: a signature has a twin with s above it, and only one may pass (EIP-2).
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What a message must say to be meant for this site; origin is scheme://host[:port]."""

    origin: str
    chain_id: int
    max_bytes: int
    issued_window: timedelta
    max_lifetime: timedelta

    @property
    def domain(self) -> str:
        """The authority that the wallet shows: host[:port]."""
        return urlsplit(self.origin).netloc


def check_message(text: str, signature: str, now: datetime, rules: SiteRules) -> SignIn | SignInFailed:
    """Return who signed, or the first rule that the message breaks; takes some 50 ms of CPU time."""
    if len(text.encode()) > rules.max_bytes:
        return SignInFailed("message_too_large")
    message = _parsed(text)
    if message is None:
        return SignInFailed("message_malformed")
    nonce, address = str(message.nonce), str(message.address).lower()
    reason = _broken_rule(message, now, rules) or _bad_signature(message, signature, now, rules)
    return SignInFailed(reason, nonce, address) if reason else SignIn(address, nonce)


def _parsed(text: str) -> "SiweMessage | None":
    try:
        # The ABNF parser takes quadratic time before anybody is known; equality with the printed form makes up for it.
        message = SiweMessage.from_message(text, abnf=False)
    except (ValueError, TypeError):
        return None
    return message if message.prepare_message() == text else None


def _broken_rule(message: "SiweMessage", now: datetime, rules: SiteRules) -> str:
    uri = urlsplit(str(message.uri))
    checks = (
        ("domain", message.domain == rules.domain and message.scheme in {None, urlsplit(rules.origin).scheme}),
        ("uri", f"{uri.scheme}://{uri.netloc}" == rules.origin),
        ("version", str(message.version) == "1"),
        ("chain_id", message.chain_id == rules.chain_id),
        ("statement", message.statement == STATEMENT),
        ("resources", not message.resources and message.request_id is None),
    )
    return next((name for name, good in checks if not good), "") or _bad_time(message, now, rules)


def _bad_time(message: "SiweMessage", now: datetime, rules: SiteRules) -> str:
    issued, expires, not_before = (
        _moment(value) for value in (message.issued_at, message.expiration_time, message.not_before)
    )
    if issued is None or abs(now - issued) > rules.issued_window:
        return "issued_at"
    if expires is None or expires <= now or expires - issued > rules.max_lifetime:
        return "expiration_time"
    if message.not_before is not None and (not_before is None or not_before > now):
        return "not_before"
    return ""


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else None


def _bad_signature(message: "SiweMessage", signature: str, now: datetime, rules: SiteRules) -> str:
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError:
        return "signature_malformed"
    if len(raw) != 65 or raw[64] not in {27, 28}:
        return "signature_malformed"
    if int.from_bytes(raw[32:64], "big") > HALF_ORDER:
        return "signature_high_s"
    try:
        message.verify(signature, domain=rules.domain, nonce=message.nonce, timestamp=now)
    except (VerificationError, BadSignature, ValidationError, ValueError):
        return "signature"
    return ""
