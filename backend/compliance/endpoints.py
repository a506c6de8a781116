"""Routes of compliance: credentials on chain."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from backend.accounts.endpoints import DatabaseService, SignedIn, requires
from backend.accounts.types import Caller, Role
from backend.compliance.schemas import Address, CredentialIn, CredentialOut, StandingOut
from backend.compliance.service import CredentialService, StandingService
from backend.compliance.types import CredentialType
from backend.kernel.errors import Forbidden
from backend.kit.deps import Reading, provided

router = APIRouter(prefix="/compliance", tags=["compliance"])

Credentials = Annotated[CredentialService, Depends(provided(CredentialService))]
Standings = Annotated[StandingService, Depends(provided(StandingService))]
Operator = Annotated[Caller, Depends(requires(Role.OPERATOR))]


@router.post("/credentials", status_code=201)
async def issue(
    body: CredentialIn, credentials: Credentials, caller: Operator, database: DatabaseService
) -> CredentialOut:
    """Give a wallet a credential on chain, or another end to the one that it has; nobody gives one to themselves."""
    if body.address.lower() == caller.address.lower():
        raise Forbidden("nobody gives a credential to themselves")
    issued = await credentials.issue(database, body.address, body.type, body.expires_at, actor=caller.pseudonym)
    return CredentialOut(**asdict(issued))


@router.delete("/credentials")
async def revoke(
    credentials: Credentials,
    caller: Operator,
    database: DatabaseService,
    address: Annotated[Address, Query()],
    kind: Annotated[CredentialType, Query(alias="type")],
) -> CredentialOut:
    """Take a credential from a wallet; its orders are refused from the next block on."""
    return CredentialOut(**asdict(await credentials.revoke(database, address, kind, actor=caller.pseudonym)))


@router.get("/me")
async def me(standings: Standings, caller: SignedIn, session: Reading) -> StandingOut:
    """Return where the caller stands with the rules on chain: credentials, cap, volume, lists, the rules' version."""
    return StandingOut.of(await standings.of(session, caller.address, caller.account_id))
