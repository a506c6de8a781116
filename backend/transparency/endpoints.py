"""Evidence packs over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from backend.accounts.endpoints import signed_in
from backend.accounts.types import Caller, Role
from backend.kernel.canonical import canonical_json
from backend.kernel.merkle import MAX_SIZE
from backend.kit.deps import provided
from backend.transparency.service import PackBuilder
from backend.transparency.types import Pack

router = APIRouter(prefix="/evidence", tags=["evidence"])

Packs = Annotated[PackBuilder, Depends(provided(PackBuilder))]
SignedIn = Annotated[Caller, Depends(signed_in)]
Index = Annotated[int, Path(ge=0, lt=MAX_SIZE)]
AnchorIndex = Annotated[int | None, Query(alias="anchor", ge=0, lt=MAX_SIZE)]
JSON_PACK: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": {"type": "object"}}}}}


@router.get("/{index}", response_class=Response, responses=JSON_PACK)
async def public_pack(index: Index, packs: Packs, anchor: AnchorIndex = None) -> Response:
    """Return the evidence pack of an entry that anybody may see."""
    return _file(index, await packs.public(index, anchor))


@router.get("/{index}/full", response_class=Response, responses=JSON_PACK)
async def full_pack(index: Index, packs: Packs, caller: SignedIn, anchor: AnchorIndex = None) -> Response:
    """Return the full evidence pack, to the record's owner and to regulators; that it was handed out is logged."""
    if Role.REGULATOR in caller.roles:
        return _file(index, await packs.regulator(caller.pseudonym, index, anchor))
    return _file(index, await packs.owner(caller.pseudonym, index, anchor))


def _file(index: int, pack: Pack) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="entry-{index}.refi.json"',
        "Cache-Control": "no-store",
    }
    return Response(canonical_json(pack), media_type="application/json", headers=headers)
