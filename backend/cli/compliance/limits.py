"""Limits on chain from the command line, as an operator."""

from typing import Any

from backend.cli.compliance.credentials import OPERATOR
from backend.cli.session import with_platform
from backend.compliance.service import StewardService
from backend.compliance.service.steward import LimitRule
from backend.kernel.canonical import decimal_string, parse_decimal
from backend.kernel.fixed import NOTIONAL_DECIMALS, from_units, to_units


def rule(policy: str) -> dict[str, Any]:
    """Return a limit, how far it may move, and when."""

    async def work(platform: Any) -> LimitRule:
        found: LimitRule = await platform.service(StewardService).rule_of(policy)
        return found

    found = with_platform(work)
    return {
        "policy": policy,
        "value": _usd(found.value),
        "lowest": _usd(found.lowest),
        "highest": _usd(found.highest),
        "not_before": found.not_before.isoformat(),
        "open": found.is_open,
        "text": found.allowed,
    }


def move(policy: str, value: str) -> dict[str, Any]:
    """Move a limit to a value in USD."""
    units = to_units(parse_decimal(value), NOTIONAL_DECIMALS)

    async def work(platform: Any) -> dict[str, Any]:
        service: StewardService = platform.service(StewardService)
        async with platform.database.transaction() as session:
            moved = await service.move(session, policy, units, actor=OPERATOR)
        before, after = _usd(moved.before), _usd(moved.value)
        text = f"{policy} moved from {before} to {after} USD in block {moved.block_number} ({moved.tx_hash})"
        return {"policy": policy, "before": before, "value": after, "tx_hash": moved.tx_hash, "text": text}

    return with_platform(work)


def _usd(units: int) -> str:
    return decimal_string(from_units(units, NOTIONAL_DECIMALS))
