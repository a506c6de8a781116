"""The verbs of `refi gov`, and `refi agent promote`."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.cli.app import FAILED, OK, Json, show
from backend.cli.app import choose as choose_one
from backend.kernel.errors import Invalid

gov = typer.Typer(name="gov", help="What the DAO decides: proposals, votes, models.", no_args_is_help=True)

ZERO = "0x" + "00" * 20


def wallet(address: str) -> str:
    """Return an address that is one, or nothing."""
    from eth_utils.address import to_checksum_address

    if address and re.fullmatch(r"0x[0-9a-fA-F]{40}", address) is None:
        raise typer.BadParameter(f"{address!r} is no wallet: 0x and 40 hex digits")
    digits = address[2:]
    if digits not in {digits.lower(), digits.upper()} and to_checksum_address(address) != address:
        raise typer.BadParameter(f"{address} is mistyped: its capitals are not those of the address")
    return address.lower()


def sha256(text: str) -> str:
    """Return a model's hash."""
    if re.fullmatch(r"(0x)?[0-9a-f]{64}", text) is None:
        raise typer.BadParameter(f"{text!r} is no sha256: 64 hex digits")
    return text.removeprefix("0x")


Number = Annotated[str, typer.Argument(metavar="PROPOSAL", help="A proposal's number, how it begins, or latest.")]
KeyFile = Annotated[
    Path | None, typer.Option("--wallet", help="A file with the key that signs; else the operator's key is used.")
]
Unsigned = Annotated[
    str, typer.Option("--unsigned", metavar="ADDRESS", callback=wallet, help="Only print what this wallet would sign.")
]


@gov.command("list")
def gov_list(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, newest first.")] = 20, as_json: Json = False
) -> None:
    """List proposals as the chain has them."""
    from backend.cli.gov.shown import line
    from backend.cli.session import with_platform
    from backend.governance.schemas import MotionOut
    from backend.governance.service import ProposalService

    found = with_platform(lambda platform: platform.service(ProposalService).listed(limit))
    if as_json:
        show([MotionOut.of(motion).model_dump(by_alias=True) for motion in found])
        return
    for motion in found:
        typer.echo(line(motion))
    if not found:
        typer.echo("no proposal has been made")


@gov.command("show")
def gov_show(number: Number, as_json: Json = False) -> None:
    """Show a proposal: what it says, what it does, how the vote stands; exit 1 when the text is not what it does."""
    from backend.cli.gov.shown import page
    from backend.cli.gov.steps import number_of, require_number
    from backend.cli.session import with_platform
    from backend.governance.schemas import MotionOut
    from backend.governance.service import ProposalService

    require_number(number)

    async def work(platform: Any) -> Any:
        service = platform.service(ProposalService)
        return await service.shown(await number_of(service, number))

    motion = with_platform(work)
    if as_json:
        show(MotionOut.of(motion).model_dump(by_alias=True))
    else:
        for text in page(motion):
            typer.echo(text)
    raise typer.Exit(FAILED if motion.text.matches is False else OK)


@gov.command("propose")
def gov_propose(
    text: Annotated[str, typer.Option(help="What it is for; the calls are added in words.")] = "",
    call: Annotated[
        list[str] | None, typer.Option(help='"TARGET FUNCTION ARGUMENT .. [value=WEI]" or "TARGET 0xDATA"; repeat it.')
    ] = None,
    registrations: Annotated[
        bool, typer.Option("--registrations", help="Register log, attester, universe and VaR policies of the settings.")
    ] = False,
    key_file: KeyFile = None,
    unsigned: Unsigned = "",
    as_json: Json = False,
) -> None:
    """Put calls to the vote."""
    from backend.cli.gov.registrations import TEXT
    from backend.cli.gov.steps import Hand, call_of

    if registrations == bool(call):
        raise Invalid("propose either --call .. or --registrations")
    if call and not text:
        raise Invalid("--text says what the calls are for")
    done = _proposed([call_of(part) for part in call or ()], text or TEXT, Hand(key_file, unsigned))
    _tell(done, "propose", as_json=as_json)


def _proposed(calls: Any, text: str, hand: Any) -> dict[str, Any]:
    from backend.cli.gov.registrations import registrations
    from backend.cli.gov.steps import step
    from backend.cli.session import current_settings

    plan: Any = None
    if not calls:
        from backend.bootstrap import deployment_plan

        plan = deployment_plan(current_settings(), [])

    async def choose(service: Any, sender: str) -> Any:
        specs = calls or await registrations(plan, service.chain)
        return service.propose(service.build(specs, text, sender))

    return step(hand, choose)


@gov.command("delegate")
def gov_delegate(
    to: Annotated[str, typer.Argument(help="The wallet that votes with your tokens; your own counts too.")],
    key_file: KeyFile = None,
    unsigned: Unsigned = "",
    as_json: Json = False,
) -> None:
    """Let tokens vote; tokens that are not delegated count for nothing."""
    from backend.cli.gov.steps import Hand, step

    if not int(wallet(to) or ZERO, 16):
        raise Invalid("votes delegated to nobody count for nothing: name a wallet")

    async def choose(service: Any, _sender: str) -> Any:
        return service.delegate(to)

    _tell(step(Hand(key_file, unsigned), choose), "delegate", as_json=as_json)


@gov.command("vote")
def gov_vote(
    number: Number,
    support: Annotated[str, typer.Argument(help="for, against or abstain.")],
    reason: Annotated[str, typer.Option(help="Why; it stands on chain.")] = "",
    key_file: KeyFile = None,
    unsigned: Unsigned = "",
    as_json: Json = False,
) -> None:
    """Vote on a proposal."""
    from backend.cli.gov.steps import Hand, number_of, require_number, step
    from backend.governance.engine import VOTES

    choose_one(support, list(VOTES), "vote")
    require_number(number)

    async def choose(service: Any, _sender: str) -> Any:
        return service.vote(await number_of(service, number), support, reason)

    _tell(step(Hand(key_file, unsigned), choose), "vote", as_json=as_json)


@gov.command("queue")
def gov_queue(number: Number, key_file: KeyFile = None, unsigned: Unsigned = "", as_json: Json = False) -> None:
    """Put a proposal that succeeded into the timelock."""
    _settle("queue", number, key_file, unsigned, as_json=as_json)


@gov.command("execute")
def gov_execute(number: Number, key_file: KeyFile = None, unsigned: Unsigned = "", as_json: Json = False) -> None:
    """Carry out a proposal that has waited."""
    _settle("execute", number, key_file, unsigned, as_json=as_json)


@gov.command("cancel")
def gov_cancel(number: Number, key_file: KeyFile = None, unsigned: Unsigned = "", as_json: Json = False) -> None:
    """End a proposal: its proposer before the vote opens, the guardian until it is executed."""
    _settle("cancel", number, key_file, unsigned, as_json=as_json)


@gov.command("params")
def gov_params(as_json: Json = False) -> None:
    """Show how the DAO decides."""
    from backend.cli.gov.shown import lasting, rows, votes
    from backend.cli.session import with_platform
    from backend.governance.service import ProposalService

    found = asdict(with_platform(lambda platform: platform.service(ProposalService).parameters()))
    if as_json:
        show(found)
        return
    for name in ("voting_delay", "voting_period", "late_extension", "timelock_delay"):
        found[name] = lasting(found[name])
    for name in ("threshold", "quorum", "supply"):
        found[name] = f"{votes(found[name])} REFI"
    for text in rows(list(found.items())):
        typer.echo(text)


@gov.command("power")
def gov_power(address: Annotated[str, typer.Argument(callback=wallet)], as_json: Json = False) -> None:
    """Show a wallet's tokens, whom they vote through, and the votes that it casts."""
    from backend.cli.gov.shown import rows, votes
    from backend.cli.session import with_platform
    from backend.governance.service import ProposalService

    found = with_platform(lambda platform: platform.service(ProposalService).power(address))
    if as_json:
        show(asdict(found))
        return
    through = "nobody: the tokens count for nothing" if found.delegate == ZERO else found.delegate
    pairs = [("tokens", votes(found.balance)), ("vote through", through), ("staked", votes(found.staked))]
    for text in rows(
        [*pairs, ("votes", votes(found.votes)), ("can propose", "yes" if found.is_able_to_propose else "no")]
    ):
        typer.echo(text)


@gov.command("models")
def gov_models(as_json: Json = False) -> None:
    """List models with their state on chain."""
    from backend.cli.session import with_platform
    from backend.governance.service import ModelService

    async def work(platform: Any) -> list[dict[str, str]]:
        service = platform.service(ModelService)
        async with platform.database.reading() as session:
            known = await service.newest(session)
        seen = [await service.on_chain(model) for model in known]
        return [
            {"sha256": m.sha256, "state": m.state.name.lower(), "torchscript_cid": m.cids.torchscript} for m in seen
        ]

    # The list has always been JSON; --json is taken as every verb takes it.
    del as_json
    show(with_platform(work))


@gov.command("revoke-model")
def gov_revoke_model(
    model: Annotated[str, typer.Argument(metavar="SHA", callback=sha256, help="The model's sha256.")],
    as_json: Json = False,
) -> None:
    """Take a model out of production at once, with the guardian's key."""
    from backend.cli.gov.steps import OPERATOR
    from backend.cli.session import with_platform
    from backend.governance.service import ModelService

    async def work(platform: Any) -> dict[str, Any]:
        async with platform.database.transaction() as session:
            receipt = await platform.service(ModelService).revoke(session, model, OPERATOR)
        return {"model": model, "tx_hash": receipt.tx_hash, "block_number": receipt.block_number}

    done = with_platform(work)
    if as_json:
        show(done)
    else:
        typer.echo(f"revoked {model} in block {done['block_number']}: no order of it passes from the next block on")


def agent_promote(
    model: Annotated[str, typer.Argument(metavar="MODEL_DIR_OR_SHA", help="A model's folder, or its sha256.")],
    key_file: KeyFile = None,
    unsigned: Unsigned = "",
    as_json: Json = False,
) -> None:
    """Publish a model and put its promotion to the vote; print what a voter signs where the key has too few votes."""
    from backend.cli.gov.promote import named_model, promote
    from backend.cli.gov.steps import Hand, sent_line
    from backend.cli.session import with_platform

    hand, named = Hand(key_file, unsigned), named_model(model)
    done = with_platform(lambda platform: promote(platform, named, hand))
    if as_json:
        show(done)
        return
    typer.echo(f"model    {done['model']} is {done['model_state']}")
    if done["proposal_state"] is not None:
        typer.echo(
            f"proposal {done['proposal_id']} is {done['proposal_state']}: `refi gov show {done['proposal_id'][:12]}`"
        )
        return
    for text in sent_line(done, "propose"):
        typer.echo(text)


def _settle(action: str, number: str, key_file: Path | None, unsigned: str, *, as_json: bool) -> None:
    from backend.cli.gov.steps import Hand, number_of, require_number, step

    require_number(number)

    async def choose(service: Any, _sender: str) -> Any:
        found = await number_of(service, number)
        return await {"queue": service.queue, "execute": service.execute, "cancel": service.cancel}[action](found)

    _tell(step(Hand(key_file, unsigned), choose), action, as_json=as_json)


def _tell(done: dict[str, Any], what: str, *, as_json: bool) -> None:
    from backend.cli.gov.steps import sent_line

    if as_json:
        show(done)
        return
    for text in sent_line(done, what):
        typer.echo(text)
