"""The platform's kill switch from the command line."""

from typing import Any

from backend.accounts.types import Caller, Role
from backend.cli.session import with_platform
from backend.risk.service import KillSwitch
from backend.risk.types import Halt, HaltScope

# Whoever may run the command line on the server is an operator; no account stands behind it.
OPERATOR = Caller(0, "", "operator:cli", frozenset({Role.OPERATOR}))


def trip(reason: str) -> dict[str, Any]:
    """Stop every order."""

    async def work(platform: Any) -> Halt:
        async with platform.database.transaction() as session:
            halted: Halt = await platform.service(KillSwitch).trip(session, HaltScope.PLATFORM, reason, OPERATOR)
            return halted

    return _shown(with_platform(work))


def rearm(halt_id: int, reason: str) -> dict[str, Any]:
    """Review and re-arm."""

    async def work(platform: Any) -> Halt:
        switch = platform.service(KillSwitch)
        async with platform.database.transaction() as session:
            await switch.review(session, halt_id, reason, OPERATOR)
            armed: Halt = await switch.rearm(session, halt_id, reason, OPERATOR)
            return armed

    return _shown(with_platform(work))


def _shown(halt: Halt) -> dict[str, Any]:
    return {"id": halt.id, "scope": halt.scope.value, "state": halt.state.value, "reason": halt.reason}
