"""Sign in with a wallet, keep a session, hold roles."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts import repository
from backend.accounts.engine.siwe import STATEMENT, SiteRules, check_message
from backend.accounts.engine.tokens import AccessClaims, AccessTokens, random_secret, sha256_hex
from backend.accounts.models import Account
from backend.accounts.types import Caller, Role, Session, SignIn, SignInFailed, SignInRequest
from backend.kernel.errors import Conflict, NotFound, TooMany, Unauthorized
from backend.kit.limits import Limiter
from backend.kit.pagination import Page, PageRequest, page_of
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.settings import Settings

JsonValue = str | int | bool | Sequence[Any] | Mapping[str, Any]
OpenAccount = Callable[[AsyncSession, Account], Awaitable[Mapping[str, JsonValue]]]

POLICY = "accounts:1"
MINUTE = timedelta(minutes=1)
# Failed sign-ins beyond this are counted by the limiter and the metrics only: strangers must not fill the log.
RECORDED_FAILURES_PER_MINUTE = 60


class Accounts:
    """Accounts and their sessions; the caller owns the transaction."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        journal: Journal,
        limiter: Limiter,
        tokens: AccessTokens,
        open_account: OpenAccount,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._journal = journal
        self._limiter = limiter
        self._tokens = tokens
        self._open_account = open_account
        self._rules = SiteRules(
            origin=settings.public_url.rstrip("/"),
            chain_id=settings.chain_id,
            max_bytes=settings.siwe_max_bytes,
            issued_window=settings.siwe_issued_window,
            max_lifetime=settings.siwe_max_lifetime,
        )

    async def admit(self, purpose: str, client: str) -> None:
        """Take one of a client's attempts; raise TooMany when they are used up, Unavailable when nobody counts."""
        limit = self._settings.login_attempts_per_minute
        if not await self._limiter.allow(f"{purpose}:{client}", limit, MINUTE):
            raise TooMany("too many attempts; wait a minute", retry_after=60)

    async def challenge(self, session: AsyncSession, browser: str) -> SignInRequest:
        """Make a nonce that only the browser with this secret may answer, once."""
        now, nonce = self._clock.wall(), sha256_hex(random_secret())[:32]
        await repository.forget_nonces(session, now)
        expires_at = now + self._settings.nonce_lifetime
        await repository.add_nonce(session, nonce, sha256_hex(browser), expires_at)
        rules = self._rules
        return SignInRequest(nonce, rules.domain, rules.origin, rules.chain_id, STATEMENT, now, expires_at)

    async def check(self, message: str, signature: str) -> SignIn | SignInFailed:
        """Check a signed message beside the event loop; the nonce is consumed later, in the transaction."""
        return await asyncio.to_thread(check_message, message, signature, self._clock.wall(), self._rules)

    async def sign_in(
        self, session: AsyncSession, outcome: SignIn | SignInFailed, browser: str
    ) -> Session | SignInFailed:
        """Consume the nonce and open a session; a failure uses the nonce up too and is recorded."""
        fresh = await repository.consume_nonce(session, outcome.nonce, sha256_hex(browser), self._clock.wall())
        if isinstance(outcome, SignIn) and fresh:
            return await self._admitted(session, outcome.address)
        failed = outcome if isinstance(outcome, SignInFailed) else SignInFailed("nonce", "", outcome.address)
        await self._record_failure(session, failed)
        return failed

    async def refresh(self, session: AsyncSession, refresh_token: str) -> Session | SignInFailed:
        """Exchange a refresh token for new tokens; a token used twice ends its whole session."""
        now, token_sha256 = self._clock.wall(), sha256_hex(refresh_token)
        family = await repository.family_of_token(session, token_sha256)
        if family is None or family.revoked_at is not None or family.expires_at <= now:
            return SignInFailed("refresh_token")
        account = await repository.account_by_id(session, family.account_id)
        if account is None:
            return SignInFailed("refresh_token")
        if not await repository.use_token(session, token_sha256, now):
            await repository.revoke_family(session, family.id, now, "reuse")
            await self._record(session, account.pseudonym, "session.reuse_detected", {}, account.pseudonym)
            return SignInFailed("refresh_token_reused", address=account.address)
        return await self._issued(session, account, family.id, family.expires_at)

    async def sign_out(self, session: AsyncSession, refresh_token: str) -> None:
        """End the session of a refresh token; an unknown one changes nothing."""
        family = await repository.family_of_token(session, sha256_hex(refresh_token))
        if family is None:
            return
        if await repository.revoke_family(session, family.id, self._clock.wall(), "logout"):
            account = await repository.account_by_id(session, family.account_id)
            if account is not None:
                await self._record(session, account.pseudonym, "logout", {}, account.pseudonym)

    async def caller(self, session: AsyncSession, access_token: str) -> Caller:
        """Return who an access token speaks for now: roles and revocation are read afresh."""
        now = self._clock.wall()
        claims = self._tokens.read(access_token, now)
        account = await repository.live_account(session, claims.account_id, claims.session_id, now)
        if account is None:
            raise Unauthorized("the session is over")
        return _caller(account, claims.session_id)

    async def find(self, session: AsyncSession, *, address: str = "", pseudonym: str = "") -> Caller:
        """Return an account by wallet or by pseudonym; raise NotFound."""
        account = (
            await repository.account_by_address(session, address.lower())
            if address
            else await repository.account_by_pseudonym(session, pseudonym)
        )
        if account is None:
            raise NotFound("no such account")
        return _caller(account)

    async def page(self, session: AsyncSession, request: PageRequest) -> Page[Account]:
        """Return accounts newest first."""
        return page_of(await repository.accounts_page(session, request), request, lambda account: account.id)

    async def add_role(self, session: AsyncSession, actor: Caller, address: str, role: Role) -> Account:
        """Give an account one more role."""
        # Whoever changes roles waits here: what is read below is what they left.
        await repository.administrators(session)
        account = await repository.account_by_address(session, address.lower())
        if account is None:
            raise NotFound("no such account")
        return await self.set_roles(session, actor, address, _caller(account).roles | {role})

    async def set_roles(self, session: AsyncSession, actor: Caller, address: str, roles: frozenset[Role]) -> Account:
        """Give an account exactly these roles, trader always; raise Conflict rather than lose the last admin."""
        admins = await repository.administrators(session)
        account = await repository.account_by_address(session, address.lower())
        if account is None:
            raise NotFound("no such account")
        if Role.ADMIN not in roles and [admin.id for admin in admins] == [account.id]:
            raise Conflict("the last administrator keeps the role")
        await self._change_roles(session, account, roles, actor.pseudonym)
        return account

    async def _admitted(self, session: AsyncSession, address: str) -> Session:
        account = await self._opened(session, address)
        now, family_id = self._clock.wall(), random_secret()
        expires_at = now + self._settings.refresh_lifetime
        await repository.add_family(session, family_id, account.id, now, expires_at)
        await self._record(session, account.pseudonym, "login", {"method": "eip4361"}, account.pseudonym)
        # After the account's own record: whoever needs both chains takes the system's last.
        if address == self._settings.first_admin.lower() and not await repository.administrators(session):
            await self._change_roles(session, account, frozenset({Role.ADMIN}), SYSTEM_ACCOUNT)
        return await self._issued(session, account, family_id, expires_at)

    async def _opened(self, session: AsyncSession, address: str) -> Account:
        known = await repository.account_by_address(session, address)
        if known is not None:
            return known
        opened = await repository.open_account(
            session, address, random_secret(), self._clock.business(), [Role.TRADER.value]
        )
        if opened is not None:
            fields = await self._open_account(session, opened)
            await self._record(session, opened.pseudonym, "account.opened", fields, opened.pseudonym)
            return opened
        known = await repository.account_by_address(session, address)
        if known is None:
            raise Conflict("the account is being opened; try again")
        return known

    async def _issued(self, session: AsyncSession, account: Account, family_id: str, expires_at: datetime) -> Session:
        refresh_token, now = random_secret(), self._clock.wall()
        await repository.add_token(session, sha256_hex(refresh_token), family_id, now)
        access_token = self._tokens.issue(AccessClaims(account.id, family_id), now)
        return Session(
            _caller(account, family_id),
            access_token,
            refresh_token,
            refresh_seconds=int((expires_at - now).total_seconds()),
            expires_in=int(self._tokens.lifetime.total_seconds()),
        )

    async def _change_roles(self, session: AsyncSession, account: Account, roles: frozenset[Role], actor: str) -> None:
        before, after = sorted(account.roles), sorted({*roles, Role.TRADER})
        if before == after:
            return
        account.roles = [str(role) for role in after]
        await session.flush()
        fields = {"subject": account.address, "roles_before": before, "roles_after": account.roles}
        await self._record(session, SYSTEM_ACCOUNT, "account.roles_changed", fields, actor)

    async def _record_failure(self, session: AsyncSession, failed: SignInFailed) -> None:
        if await self._limiter.allow("login-failures-recorded", RECORDED_FAILURES_PER_MINUTE, MINUTE):
            fields = {"reason": failed.reason, "subject": failed.address}
            await self._record(session, SYSTEM_ACCOUNT, "login.failed", fields, SYSTEM_ACCOUNT)

    async def _record(
        self, session: AsyncSession, account: str, event: str, fields: Mapping[str, Any], actor: str
    ) -> None:
        await self._journal.record(session, account, event, fields, actor=actor, policy=POLICY)


def access_tokens(settings: Settings) -> AccessTokens:
    """Return the issuer of access tokens; without a configured secret a local one is made once and kept."""
    secret = settings.token_secret.get_secret_value().encode() or _kept_secret(settings.state_dir / "token_secret")
    return AccessTokens(secret, settings.public_url.rstrip("/"), settings.access_lifetime)


def _kept_secret(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        file.write(random_secret().encode())
    return path.read_bytes()


def _caller(account: Account, session_id: str = "") -> Caller:
    roles = frozenset(Role(role) for role in account.roles)
    return Caller(account.id, account.address, account.pseudonym, roles, session_id)
