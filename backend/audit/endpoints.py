"""The log as anybody may read it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import PlainTextResponse

from backend.audit.engine.tiles import TileAddress, parse_tile_path
from backend.audit.schemas import ConsistencyProof, InclusionProof
from backend.audit.service import LogReader
from backend.kernel.canonical import encode_bytes
from backend.kernel.merkle import MAX_SIZE, leaf_hash
from backend.kit.deps import Reading, provided

router = APIRouter(prefix="/log", tags=["log"])

Reader = Annotated[LogReader, Depends(provided(LogReader))]
Size = Annotated[int | None, Query(ge=0, le=MAX_SIZE)]
Index = Annotated[int, Query(ge=0, lt=MAX_SIZE)]
FOREVER = "public, max-age=31536000, immutable"
BRIEFLY = "public, max-age=60"


@router.get("/checkpoint", response_class=PlainTextResponse)
async def checkpoint(session: Reading, reader: Reader, size: Size = None) -> Response:
    """Return the latest signed checkpoint, or the one of a size."""
    found = await reader.checkpoint(session, size)
    caching = "no-cache" if size is None else FOREVER
    return PlainTextResponse(found.note, headers={"Cache-Control": caching})


@router.get("/tile/entries/{path:path}", response_class=Response)
async def entry_bundle(path: str, session: Reading, reader: Reader) -> Response:
    """Return an entry bundle of C2SP tlog-tiles."""
    address = parse_tile_path(path)
    return _tile(address, await reader.entry_bundle(session, address))


@router.get("/tile/{level}/{path:path}", response_class=Response)
async def tile(level: int, path: str, session: Reading, reader: Reader) -> Response:
    """Return a tile of C2SP tlog-tiles."""
    address = parse_tile_path(path)
    return _tile(address, await reader.tile(session, level, address))


@router.get("/proof/inclusion")
async def inclusion(session: Reading, reader: Reader, index: Index, size: Size = None) -> InclusionProof:
    """Prove that an entry stands in the log, at the latest checkpoint unless a size is given."""
    size = (await reader.checkpoint(session)).size if size is None else size
    path = await reader.inclusion(session, index, size)
    return InclusionProof(
        index=index,
        size=size,
        root=encode_bytes(await reader.root(session, size)),
        leaf=encode_bytes(leaf_hash((await reader.entry(session, index)).encode())),
        path=[encode_bytes(node) for node in path],
    )


@router.get("/proof/consistency")
async def consistency(
    session: Reading, reader: Reader, first: Annotated[int, Query(ge=0, le=MAX_SIZE)], second: Size = None
) -> ConsistencyProof:
    """Prove that the log only grew between two sizes, the latest checkpoint's unless a second is given."""
    second = (await reader.checkpoint(session)).size if second is None else second
    proof = await reader.consistency(session, first, second)
    return ConsistencyProof(
        first=first,
        second=second,
        first_root=encode_bytes(await reader.root(session, first)),
        second_root=encode_bytes(await reader.root(session, second)),
        proof=[encode_bytes(node) for node in proof],
    )


def _tile(address: TileAddress, content: bytes) -> Response:
    caching = FOREVER if address.is_full else BRIEFLY
    return Response(content, media_type="application/octet-stream", headers={"Cache-Control": caching})
