"""Evidence packs, exports and erasures over HTTP."""

import asyncio
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from backend.accounts.endpoints import requires, signed_in
from backend.accounts.types import Caller, Role
from backend.audit.service.erasure import ErasureService
from backend.kernel.canonical import JsonValue, canonical_json
from backend.kernel.errors import Forbidden, NotFound
from backend.kernel.merkle import MAX_SIZE
from backend.kit.deps import provided
from backend.transparency.schemas import ErasureIn, ErasureOut
from backend.transparency.service import AccountExports, PackBuilder
from backend.transparency.types import ACCOUNT_NAME

router = APIRouter(tags=["evidence"])

Packs = Annotated[PackBuilder, Depends(provided(PackBuilder))]
Exports = Annotated[AccountExports, Depends(provided(AccountExports))]
Erasures = Annotated[ErasureService, Depends(provided(ErasureService))]
SignedIn = Annotated[Caller, Depends(signed_in)]
Regulator = Annotated[Caller, Depends(requires(Role.REGULATOR))]
Index = Annotated[int, Path(ge=0, lt=MAX_SIZE)]
AnchorIndex = Annotated[int | None, Query(alias="anchor", ge=0, lt=MAX_SIZE)]
Fields = Annotated[str | None, Query(max_length=4_000)]
AccountName = Annotated[str, Path(pattern=ACCOUNT_NAME)]
Limit = Annotated[int, Query(ge=1, le=1_000)]
JSON_OBJECT: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": {"type": "object"}}}}}


@router.get("/evidence/accounts/{account}", response_class=Response, responses=JSON_OBJECT)
async def account_page(
    request: Request,
    account: AccountName,
    exports: Exports,
    caller: SignedIn,
    after: Annotated[int, Query(ge=0, lt=MAX_SIZE)] = 0,
    limit: Limit = 500,
) -> Response:
    """Return an account's next records as one pack, to the owner and to regulators; that it left is logged.

    A page may hold fewer records than asked for; the header `Link` names the next page while there is one.
    """
    page = await exports.page(caller, account, after, limit)
    headers = {"Content-Disposition": f'attachment; filename="records-{after + 1}-{page.last_seq}.refi.json"'}
    return _json(page.pack, headers | _next(request, page.last_seq if page.more else None, limit))


@router.get("/evidence/accounts/{account}/heads", response_class=Response, responses=JSON_OBJECT)
async def account_heads(
    request: Request,
    account: AccountName,
    exports: Exports,
    caller: SignedIn,
    after: Annotated[int, Query(ge=-1, lt=MAX_SIZE)] = -1,
    limit: Limit = 1_000,
) -> Response:
    """Return where an account stood at each anchor, oldest first, to the owner and to regulators."""
    page = await exports.heads(caller, account, after, limit)
    content: dict[str, JsonValue] = {"account": page.account, "heads": page.heads}
    return _json(await _encoded(content), _next(request, page.next_after, limit))


@router.get("/evidence/heads/{anchor_index}", response_class=Response, responses=JSON_OBJECT)
async def anchored_heads(
    anchor_index: Annotated[int, Path(ge=0, lt=MAX_SIZE)], exports: Exports, caller: Regulator
) -> Response:
    """Return every account's head at an anchor, to regulators: they make up its heads root."""
    return _json(await _encoded(await exports.anchored_heads(caller.pseudonym, anchor_index)))


@router.get("/evidence/{index}", response_class=Response, responses=JSON_OBJECT)
async def public_pack(index: Index, packs: Packs, anchor: AnchorIndex = None) -> Response:
    """Return the evidence pack of an entry that anybody may see."""
    return _json(await _encoded(await packs.public(index, anchor)), _named(index))


@router.get("/evidence/{index}/full", response_class=Response, responses=JSON_OBJECT)
async def full_pack(
    index: Index, packs: Packs, caller: SignedIn, anchor: AnchorIndex = None, fields: Fields = None
) -> Response:
    """Return the full evidence pack, to the record's owner and to regulators; that it was handed out is logged.

    `fields` names the fields to disclose, separated by commas: all of the record's unless given.
    """
    build = packs.regulator if Role.REGULATOR in caller.roles else packs.owner
    names = None if fields is None else [name.strip() for name in fields.split(",")]
    return _json(await _encoded(await build(caller.pseudonym, index, anchor, names)), _named(index))


@router.post("/erasures")
async def erase(body: ErasureIn, erasures: Erasures, exports: Exports, caller: SignedIn) -> ErasureOut:
    """Erase what the law lets go: an owner their own records, an administrator anybody's."""
    try:
        account = await exports.resolve(caller, body.account, Role.ADMIN)
    except NotFound as hidden:
        if Role.ADMIN in caller.roles:
            raise
        raise Forbidden("this needs the role admin") from hidden
    done = await erasures.erase(
        account,
        before_epoch=body.before_epoch,
        reason=body.reason,
        legal_basis=body.legal_basis,
        operator=caller.pseudonym,
    )
    return ErasureOut(erased=done.erased, kept=done.kept, left=done.left, until=done.until)


def _named(index: int) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="entry-{index}.refi.json"'}


def _next(request: Request, after: int | None, limit: int) -> dict[str, str]:
    if after is None:
        return {}
    return {"Link": f'<{request.url.path}?{urlencode({"after": after, "limit": limit})}>; rel="next"'}


async def _encoded(content: JsonValue) -> bytes:
    # Large packs take a while: other requests go on meanwhile.
    return await asyncio.to_thread(canonical_json, content)


def _json(content: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"} | (headers or {}))
