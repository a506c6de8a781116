"""Artifacts as anybody may read them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from backend.artifacts.schemas import ArtifactOut, ArtifactsOut
from backend.artifacts.service import ArtifactService
from backend.artifacts.types import Pin
from backend.kit.db import Database
from backend.kit.deps import Reading, provided
from backend.kit.pagination import Paging

router = APIRouter(prefix="/artifacts", tags=["artifacts"])

Artifacts = Annotated[ArtifactService, Depends(provided(ArtifactService))]
Data = Annotated[Database, Depends(provided(Database))]
Cid = Annotated[str, Path(pattern="^b[a-z2-7]{58}$")]
Kind = Annotated[str | None, Query(pattern="^[!-~]{1,64}$")]


@router.get("")
async def list_artifacts(session: Reading, artifacts: Artifacts, paging: Paging, kind: Kind = None) -> ArtifactsOut:
    """List published artifacts, newest first."""
    page = await artifacts.page(session, paging, kind)
    return ArtifactsOut(items=[_artifact(pin) for pin in page.items], next_before=page.next_before)


@router.get("/{cid}", response_class=Response)
async def artifact(cid: Cid, database: Data, artifacts: Artifacts) -> Response:
    """Return the bytes behind a CID, checked against it."""
    pin, content = await artifacts.content(database, cid)
    headers = {
        "ETag": f'"{pin.cid}"',
        "Cache-Control": "public, max-age=31536000, immutable",
        # Anybody may have written these bytes: a browser is to save them, not to run them.
        "Content-Disposition": f'attachment; filename="{pin.cid}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type="application/octet-stream", headers=headers)


def _artifact(pin: Pin) -> ArtifactOut:
    return ArtifactOut(
        cid=pin.cid,
        kind=pin.kind,
        size=pin.size,
        sha256=pin.sha256,
        state=pin.state,
        profile=pin.profile,
        created_at=pin.created_at,
        attempts=pin.attempts,
    )
