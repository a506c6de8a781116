"""A wallet as the platform meets it: it signs a sign-in message and nothing else leaves it."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from eth_account import Account
from eth_account.messages import encode_defunct

from backend.kernel.errors import RefiError, Unavailable

STATEMENT = "Sign in to ReFi.Trading. This does not move funds."


class Problem(RefiError):
    """The platform answered with a problem document."""

    def __init__(self, response: httpx.Response) -> None:
        try:
            self.document: dict[str, Any] = response.json()
        except ValueError:
            self.document = {"detail": response.text[:500]}
        self.http_status = response.status_code
        super().__init__(
            f"{response.request.method} {response.request.url.path}: {response.status_code} {self.document}"
        )


@dataclass(slots=True)
class Wallet:
    """A named key pair with a signed-in HTTP session."""

    name: str
    base_url: str
    chain_id: int
    key: Any = field(default_factory=lambda: Account.from_key(secrets.token_bytes(32)), repr=False)
    token: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """The wallet's checksummed address."""
        return str(self.key.address)

    def message(self, nonce: str, now: datetime | None = None) -> str:
        """Return the EIP-4361 text that this wallet signs."""
        now = now or datetime.now(UTC)
        return (
            f"{urlsplit(self.base_url).netloc} wants you to sign in with your Ethereum account:\n{self.address}\n\n"
            f"{STATEMENT}\n\nURI: {self.base_url}\nVersion: 1\nChain ID: {self.chain_id}\nNonce: {nonce}\n"
            f"Issued At: {now:%Y-%m-%dT%H:%M:%SZ}\nExpiration Time: {now + timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}"
        )

    def sign_in(self) -> dict[str, Any]:
        """Sign in over HTTP; keep the access token."""
        with httpx.Client(base_url=self.base_url, timeout=60) as session:
            nonce = _checked(session.post("/api/v1/auth/nonce"))["nonce"]
            text = self.message(nonce)
            signature = "0x" + self.key.sign_message(encode_defunct(text=text)).signature.hex().removeprefix("0x")
            answer = _checked(session.post("/api/v1/auth/login", json={"message": text, "signature": signature}))
        self.token = answer["access_token"]
        return answer

    def request(self, method: str, path: str, *, key: str = "", **arguments: Any) -> dict[str, Any]:
        """Send a signed-in request; raise Problem when it is refused."""
        response = self._send(method, path, key, arguments)
        if response.status_code == httpx.codes.UNAUTHORIZED and self.token:
            self.sign_in()
            response = self._send(method, path, key, arguments)
        return _checked(response)

    def _send(self, method: str, path: str, key: str, arguments: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Idempotency-Key": key} if key else {})
        try:
            return httpx.request(method, f"{self.base_url}/api/v1{path}", headers=headers, timeout=120, **arguments)
        except httpx.HTTPError as silence:
            raise Unavailable(f"the platform at {self.base_url} does not answer: {silence}") from silence

    def download(self, path: str) -> bytes:
        """Read bytes as this wallet."""
        response = self._send("GET", path, "", {})
        if response.is_error:
            raise Problem(response)
        return response.content

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Read something as this wallet."""
        return self.request("GET", path, params=query)

    def post(self, path: str, body: Any = None, *, key: str = "") -> dict[str, Any]:
        """Do something as this wallet."""
        return self.request("POST", path, json=body if body is not None else {}, key=key)


def _checked(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise Problem(response)
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer
