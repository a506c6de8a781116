"""Routes of sign-in and accounts, and the dependencies that ask who is calling."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Cookie, Depends, Path, Request, Response
from pydantic import ValidationError
from starlette.requests import HTTPConnection

from backend.accounts.engine.tokens import random_secret
from backend.accounts.models import Account
from backend.accounts.schemas import (
    AccountOut,
    AccountsOut,
    LoginIn,
    MeOut,
    NonceOut,
    RoleIn,
    RolesIn,
    SessionOut,
    UserOut,
)
from backend.accounts.service import Accounts
from backend.accounts.types import Caller, Role, Session, SignInFailed
from backend.kernel.errors import Forbidden, Invalid, TooLarge, Unauthorized
from backend.kit.db import Database
from backend.kit.deps import Reading, Transaction, provided
from backend.kit.pagination import Paging
from backend.kit.problems import error_problem
from backend.settings import Settings

BROWSER_COOKIE = "refi_browser"
REFRESH_COOKIE = "refi_refresh"
COOKIE_PATH = "/api/v1/auth"

router = APIRouter(tags=["accounts"])

AccountsService = Annotated[Accounts, Depends(provided(Accounts))]
DatabaseService = Annotated[Database, Depends(provided(Database))]
Configuration = Annotated[Settings, Depends(provided(Settings))]


async def maybe_signed_in(
    connection: HTTPConnection, accounts: AccountsService, database: DatabaseService
) -> Caller | None:
    """Return the caller, None for a stranger; raise Unauthorized for a token that is not good."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    async with database.reading() as session:
        return await accounts.caller(session, token.strip())


async def signed_in(caller: Annotated[Caller | None, Depends(maybe_signed_in)]) -> Caller:
    """Return the caller; raise Unauthorized for a stranger."""
    if caller is None:
        raise Unauthorized("sign in first")
    return caller


def requires(*roles: Role | str) -> Callable[[Caller], Awaitable[Caller]]:
    """Return a dependency that yields the caller when it holds one of the roles."""
    allowed = frozenset(Role(role) for role in roles)

    async def check(caller: Annotated[Caller, Depends(signed_in)]) -> Caller:
        if allowed.isdisjoint(caller.roles):
            raise Forbidden("this needs the role " + " or ".join(sorted(allowed)))
        return caller

    return check


Address = Annotated[str, Path(pattern="^0x[0-9a-fA-F]{40}$")]
SignedIn = Annotated[Caller, Depends(signed_in)]
MaybeSignedIn = Annotated[Caller | None, Depends(maybe_signed_in)]


def same_site(request: Request, settings: Configuration) -> None:
    """Refuse a browser that was sent here by another site: these routes act on cookies."""
    origin = request.headers.get("origin")
    if origin is not None and origin != settings.public_url.rstrip("/"):
        raise Forbidden("the request comes from another site")


@router.post("/auth/nonce", dependencies=[Depends(same_site)])
async def challenge(
    request: Request,
    response: Response,
    accounts: AccountsService,
    session: Transaction,
    settings: Configuration,
) -> NonceOut:
    """Make a nonce, bound to this browser, for the message that the wallet signs."""
    await accounts.admit("nonce", client_of(request))
    # Always a fresh one: a cookie that was planted before never becomes part of a sign-in.
    browser = random_secret()
    asked = await accounts.challenge(session, browser)
    lifetime = int(settings.nonce_lifetime.total_seconds())
    _set_cookie(response, settings, BROWSER_COOKIE, browser, lifetime)
    return NonceOut(
        nonce=asked.nonce,
        domain=asked.domain,
        uri=asked.uri,
        chain_id=asked.chain_id,
        statement=asked.statement,
        issued_at=asked.issued_at,
        expiration_time=asked.expires_at,
    )


@router.post(
    "/auth/login",
    response_model=SessionOut,
    dependencies=[Depends(same_site)],
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": LoginIn.model_json_schema()}}}
    },
)
async def login(
    request: Request,
    accounts: AccountsService,
    database: DatabaseService,
    settings: Configuration,
    refi_browser: Annotated[str, Cookie(max_length=64)] = "",
) -> Response:
    """Exchange a signed message for a session."""
    # The order is the defence: count, then measure, then parse, then verify, and only then open a transaction.
    await accounts.admit("login", client_of(request))
    body = await _signed_message(request, settings.siwe_max_bytes)
    outcome = await accounts.check(body.message, body.signature)
    async with database.transaction() as session:
        result = await accounts.sign_in(session, outcome, refi_browser)
    return _answer(result, settings, clear=(BROWSER_COOKIE,))


@router.post("/auth/refresh", response_model=SessionOut, dependencies=[Depends(same_site)])
async def refresh(
    request: Request,
    accounts: AccountsService,
    session: Transaction,
    settings: Configuration,
    refi_refresh: Annotated[str, Cookie(max_length=64)] = "",
) -> Response:
    """Exchange the refresh cookie for new tokens; a cookie that was used before ends the session."""
    await accounts.admit("refresh", client_of(request))
    result = await accounts.refresh(session, refi_refresh)
    return _answer(result, settings, clear=(REFRESH_COOKIE,) if isinstance(result, SignInFailed) else ())


@router.post("/auth/logout", status_code=204, dependencies=[Depends(same_site)])
async def logout(
    response: Response,
    accounts: AccountsService,
    session: Transaction,
    settings: Configuration,
    refi_refresh: Annotated[str, Cookie(max_length=64)] = "",
) -> None:
    """End the session; its access tokens stop working at once."""
    await accounts.sign_out(session, refi_refresh)
    _clear_cookie(response, settings, REFRESH_COOKIE)


@router.get("/auth/me")
async def me(caller: MaybeSignedIn) -> MeOut:
    """Return the caller, null for a stranger."""
    return MeOut(user=_user(caller) if caller is not None else None)


@router.get("/accounts", dependencies=[Depends(requires(Role.ADMIN))])
async def list_accounts(accounts: AccountsService, session: Reading, paging: Paging) -> AccountsOut:
    """List accounts, newest first."""
    page = await accounts.page(session, paging)
    return AccountsOut(items=[_account(account) for account in page.items], next_before=page.next_before)


@router.post("/accounts/{address}/roles")
async def add_role(
    address: Address,
    body: RoleIn,
    accounts: AccountsService,
    session: Transaction,
    caller: Annotated[Caller, Depends(requires(Role.ADMIN))],
) -> AccountOut:
    """Give an account one more role."""
    return _account(await accounts.add_role(session, caller, address, body.role))


@router.put("/accounts/{address}/roles")
async def put_roles(
    address: Address,
    body: RolesIn,
    accounts: AccountsService,
    session: Transaction,
    caller: Annotated[Caller, Depends(requires(Role.ADMIN))],
) -> AccountOut:
    """Give an account exactly these roles; trader stays."""
    return _account(await accounts.set_roles(session, caller, address, frozenset(body.roles)))


def client_of(request: HTTPConnection) -> str:
    """Return what the rate limit counts by: the peer's address."""
    return request.client.host if request.client is not None else "unknown"


async def _signed_message(request: Request, max_bytes: int) -> LoginIn:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(f"a signed message has at most {max_bytes} bytes")
    try:
        return LoginIn.model_validate_json(bytes(body))
    except ValidationError as error:
        # Without the library's text: it quotes the input, which holds a signature.
        raise Invalid("expected a JSON object with message and signature (0x and 130 hex digits)") from error


def _answer(result: Session | SignInFailed, settings: Settings, clear: Sequence[str] = ()) -> Response:
    if isinstance(result, SignInFailed):
        response: Response = error_problem(Unauthorized(f"sign-in refused: {result.reason}"))
    else:
        out = SessionOut(access_token=result.access_token, expires_in=result.expires_in, user=_user(result.caller))
        response = Response(out.model_dump_json(), media_type="application/json")
        _set_cookie(response, settings, REFRESH_COOKIE, result.refresh_token, result.refresh_seconds)
    response.headers["Cache-Control"] = "no-store"
    for name in clear:
        _clear_cookie(response, settings, name)
    return response


def _set_cookie(response: Response, settings: Settings, name: str, value: str, seconds: int) -> None:
    secure = urlsplit(settings.public_url).scheme == "https"
    response.set_cookie(name, value, max_age=seconds, path=COOKIE_PATH, secure=secure, httponly=True, samesite="strict")


def _clear_cookie(response: Response, settings: Settings, name: str) -> None:
    secure = urlsplit(settings.public_url).scheme == "https"
    response.delete_cookie(name, path=COOKIE_PATH, secure=secure, httponly=True, samesite="strict")


def _user(caller: Caller) -> UserOut:
    return UserOut(
        account_id=caller.account_id, address=caller.address, pseudonym=caller.pseudonym, roles=sorted(caller.roles)
    )


def _account(account: Account) -> AccountOut:
    roles = [Role(role) for role in account.roles]
    return AccountOut(account_id=account.id, address=account.address, opened_at=account.opened_at, roles=roles)
