"""Credentials from the command line, as an operator."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from backend.cli.session import with_platform
from backend.compliance.service import CredentialService
from backend.compliance.types import CredentialType
from backend.kernel.errors import Invalid

OPERATOR = "operator:cli"


def issue(address: str, kind: str, expires: str) -> dict[str, Any]:
    """Give a wallet a credential, for ever or until a moment."""
    credential, until = kind_of(kind), moment_of(expires)

    async def work(platform: Any) -> dict[str, Any]:
        service: CredentialService = platform.service(CredentialService)
        return asdict(await service.issue(platform.database, address, credential, until, actor=OPERATOR))

    return with_platform(work)


def revoke(address: str, kind: str) -> dict[str, Any]:
    """Take a credential from a wallet."""
    credential = kind_of(kind)

    async def work(platform: Any) -> dict[str, Any]:
        service: CredentialService = platform.service(CredentialService)
        return asdict(await service.revoke(platform.database, address, credential, actor=OPERATOR))

    return with_platform(work)


def kind_of(name: str) -> CredentialType:
    """Return a credential by its name."""
    try:
        return CredentialType(name)
    except ValueError as unknown:
        raise Invalid(f"{name!r} is no credential: one of {', '.join(CredentialType)}") from unknown


def moment_of(text: str) -> datetime | None:
    """Return a moment with its time zone, None for an empty text."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as malformed:
        raise Invalid(f"{text!r} is no time: write it as 2017-06-01T21:00:00Z") from malformed
    if moment.tzinfo is None:
        raise Invalid(f"{text!r} names no time zone: write it as 2017-06-01T21:00:00Z")
    return moment
