"""The verbs of stakes: steps that a wallet signs, never the operator's key."""

import re
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.app import Json, show
from backend.cli.gov.verbs import KeyFile, Unsigned, wallet
from backend.kernel.errors import Conflict, Invalid

if TYPE_CHECKING:
    from backend.bootstrap import Platform

DECIMALS = 18
Amount = Annotated[str, typer.Argument(help="REFI, with up to 18 decimals.")]


def add_to(gov: typer.Typer) -> None:
    """Add the verbs of stakes to a group."""
    for verb in (gov_stake, gov_unstake, gov_withdraw, gov_delegate_stake, gov_tiers, gov_stake_status):
        gov.command(verb.__name__.removeprefix("gov_").replace("_", "-"))(verb)


def gov_stake(amount: Amount, key_file: KeyFile = None, unsigned: Unsigned = "", as_json: Json = False) -> None:
    """Lock REFI: who locks more gets more of the trading fees back, and still votes with it."""
    units = units_of(amount)

    async def choose(service: Any, sender: str) -> Any:
        return await service.stake(sender, units)

    _tell(_taken(choose, key_file, unsigned), f"stake {amount} REFI", as_json=as_json)


def gov_unstake(amount: Amount, key_file: KeyFile = None, unsigned: Unsigned = "", as_json: Json = False) -> None:
    """Ask REFI back: it earns no rebate from now on, and `withdraw` pays it out once it has waited."""
    units = units_of(amount)

    async def choose(service: Any, _sender: str) -> Any:
        return [service.unstake(units)]

    _tell(_taken(choose, key_file, unsigned), f"ask {amount} REFI back", as_json=as_json)


def gov_withdraw(key_file: KeyFile = None, unsigned: Unsigned = "", as_json: Json = False) -> None:
    """Take back the REFI that has waited."""

    async def choose(service: Any, _sender: str) -> Any:
        return [service.withdraw()]

    _tell(_taken(choose, key_file, unsigned), "withdraw", as_json=as_json)


def gov_delegate_stake(
    to: Annotated[str, typer.Argument(callback=wallet, help="The wallet that votes with your stake.")],
    key_file: KeyFile = None,
    unsigned: Unsigned = "",
    as_json: Json = False,
) -> None:
    """Let a stake vote through a wallet; at first it votes through its own."""

    async def choose(service: Any, _sender: str) -> Any:
        return [service.delegate(to)]

    _tell(_taken(choose, key_file, unsigned), "delegate the stake", as_json=as_json)


def gov_tiers(as_json: Json = False) -> None:
    """Show what a stake gives back of the trading fees."""
    from backend.cli.gov.shown import lasting, votes
    from backend.cli.session import with_platform
    from backend.governance.service import StakeService

    found = with_platform(lambda platform: platform.service(StakeService).terms())
    if as_json:
        show(asdict(found))
        return
    for number, (threshold, bps) in enumerate(found.tiers, 1):
        typer.echo(f"tier {number}   from {votes(threshold):>12} REFI   {Decimal(bps) / 100:>6} % of the fees")
    if not found.tiers:
        typer.echo("there are no tiers: stakes give nothing back")
    typer.echo(f"what is asked back waits for {lasting(found.cooldown)}")


def gov_stake_status(
    address: Annotated[str, typer.Argument(callback=wallet, help="The wallet.")], as_json: Json = False
) -> None:
    """Show what a wallet has locked, its tier, and what it can take back when."""
    from backend.cli.gov.shown import moment, rows
    from backend.cli.session import with_platform
    from backend.governance.service import StakeService

    found = with_platform(lambda platform: platform.service(StakeService).position(address))
    if as_json:
        show(asdict(found))
        return
    when = "now" if found.available_at <= found.now else moment(found.available_at)
    waits = f"{refi(found.pending)} REFI, to be had {when}" if found.pending else "nothing"
    given = f"{found.tier or 'none'}, {Decimal(found.rebate_bps) / 100} % of the fees"
    pairs = [("staked", f"{refi(found.staked)} REFI"), ("tier", given), ("asked back", waits)]
    for text in rows([*pairs, ("votes through", found.delegate), ("in the wallet", f"{refi(found.balance)} REFI")]):
        typer.echo(text)


def units_of(amount: str) -> int:
    """Return an amount of REFI in its smallest units; raise Invalid."""
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", amount) is None or not Decimal(amount):
        raise Invalid(f"{amount!r} is no amount of REFI: a number above 0 with up to 18 decimals")
    whole, _, part = amount.partition(".")
    return int(whole + part.ljust(DECIMALS, "0"))


def refi(units: int) -> str:
    """Return an amount of REFI without zeros behind it."""
    whole, part = divmod(units, 10**DECIMALS)
    return f"{whole:,}.{part:018d}".rstrip("0").rstrip(".")


def _taken(choose: Any, key_file: Any, unsigned: str) -> list[dict[str, Any]]:
    from backend.cli.gov.steps import Hand
    from backend.cli.session import with_platform
    from backend.governance.service import StakeService

    hand = Hand(key_file, unsigned)
    if key_file is None and not unsigned:
        raise Invalid("a stake is a wallet's own: --wallet FILE signs and sends, --unsigned ADDRESS only writes it")

    async def work(platform: "Platform") -> list[dict[str, Any]]:
        acts = await choose(platform.service(StakeService), hand.sender(platform))
        return [await _one(platform, hand, act, is_first=place == 0) for place, act in enumerate(acts)]

    return with_platform(work)


async def _one(platform: "Platform", hand: Any, act: Any, *, is_first: bool) -> dict[str, Any]:
    from backend.governance.schemas import TransactionOut
    from backend.governance.service import ProposalService

    if is_first or not hand.unsigned_for:
        return {"step": act.function, **await hand.take(platform, act)}
    # What comes after a step that nobody has sent yet would fail now: its gas is not known.
    call, chain_id = platform.service(ProposalService).call_of(act), platform.settings.chain_id
    written = TransactionOut(
        to=call.target, data="0x" + call.data.hex(), value="0", chain_id=chain_id, sender=hand.unsigned_for, gas=0
    )
    return {"step": act.function, "transaction": written.model_dump(by_alias=True) | {"gas": None}}


def _tell(done: list[dict[str, Any]], what: str, *, as_json: bool) -> None:
    from backend.cli.gov.steps import sent_line

    if not done:
        raise Conflict("there is nothing to do")
    if as_json:
        show(done)
        return
    for part in done:
        for text in sent_line(part, what if part is done[-1] else f"{part['step']}, before it"):
            typer.echo(text)
