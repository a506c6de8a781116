"""Where the watching of the rules stands, and a wallet with them."""

from typing import Any

from backend.accounts.service import Accounts
from backend.cli.session import with_platform
from backend.compliance.schemas import StandingOut, WatchingOut
from backend.compliance.service import StandingService
from backend.kernel.canonical import decimal_string
from backend.kernel.errors import NotFound

# As many looks may be missed before earlier verdicts count no more.
LOOKS = 3


def watching() -> dict[str, Any]:
    """Return the rules' version, the block it stands at, its age and its lag behind the head."""

    async def work(platform: Any) -> dict[str, Any]:
        service: StandingService = platform.service(StandingService)
        async with platform.database.reading() as session:
            found = await service.watching(session, ask_chain=True)
        fresh = found.age is not None and found.age <= LOOKS * platform.settings.watch_interval
        return {**WatchingOut.of(found).model_dump(mode="json"), "fresh": fresh}

    return with_platform(work)


def account(address: str) -> dict[str, Any]:
    """Return where a wallet stands; one that never signed in has traded nothing here."""

    async def work(platform: Any) -> dict[str, Any]:
        accounts, service = platform.service(Accounts), platform.service(StandingService)
        async with platform.database.reading() as session:
            try:
                account_id = (await accounts.find(session, address=address)).account_id
            except NotFound:
                account_id = None
            standing = await service.of(session, address, account_id)
        return StandingOut.of(standing).model_dump(mode="python")

    return with_platform(work)


def told_watching(shown: dict[str, Any]) -> list[str]:
    """Return the watching in words."""
    if shown["seen_at"] is None:
        return ["nobody has watched the rules yet: start `python -m oracle.compliance_watcher`"]
    line = (
        f"rules version {shown['version']} as of block {shown['block_number']}, {shown['lag_blocks']} behind the head, "
        f"looked at {shown['age_seconds']:.1f} s ago"
    )
    return [line] if shown["fresh"] else [line, "the last look is too old: no earlier verdict counts"]


def told(shown: dict[str, Any]) -> list[str]:
    """Return a wallet's standing in words."""
    lines = [f"wallet       {shown['address']}", f"identity     {shown['ccid'] or 'none'}"]
    for held in shown["credentials"]:
        until = f"until {held['expires_at']:%Y-%m-%d %H:%M:%S} UTC" if held["expires_at"] else "for ever"
        lines.append(f"credential   {held['type']} {'EXPIRED, it was ' if held['is_expired'] else ''}{until}")
    lines += [f"cap          {told_cap(shown['cap'])}", f"volume       {_told_volume(shown['volume'])}"]
    listed = shown["sanctions_list"]
    lines.append(f"sanctions    {'not checked on chain' if listed is None else listed or 'not listed'}")
    rules = shown["rules"]
    return [*lines, f"rules        version {rules['version']} as of block {rules['block_number']}"]


def told_cap(cap: dict[str, Any] | None) -> str:
    """Return a cap in words."""
    if cap is None:
        return "no caps on chain in this deployment"
    if cap["opened_at"] is None:
        return "not open: it opens with the first credential"
    reviewed = f"reviewed ({cap['review']})" if cap["review"] else "not reviewed"
    return f"{decimal_string(cap['cap'])} USD an order, open since {cap['opened_at']:%Y-%m-%d}, {reviewed}"


def _told_volume(volume: dict[str, Any] | None) -> str:
    if volume is None:
        return "no limit over time on chain in this deployment"
    recorded, unsettled, limit = (decimal_string(volume[name]) for name in ("recorded", "unsettled", "limit"))
    return f"{recorded} USD and {unsettled} USD unsettled, of {limit} USD in {volume['window_seconds']} s"
