"""The verbs of `refi compliance`."""

from typing import Annotated, Any

import typer

from backend.cli.app import FAILED, OK, Json, show
from backend.cli.arguments import Address, model_hash, wallet

compliance = typer.Typer(
    name="compliance", help="Ask the on-chain rules; issue credentials; move limits.", no_args_is_help=True
)

Kind = Annotated[str, typer.Option("--type", help="common.kyc, common.kyb, common.aml or common.accredited.")]


def _maybe_wallet(address: str) -> str:
    return wallet(address) if address else address


@compliance.command("check")
def compliance_check(
    subject: Address,
    instrument: Annotated[str, typer.Option(help="A ticker.")] = "AAPL",
    notional: Annotated[str, typer.Option(help="USD.")] = "100",
    model: Annotated[str, typer.Option(help="The sha256 of a model; empty for a person.", callback=model_hash)] = "",
) -> None:
    """Ask the policy engine whether an order would pass; exit 1 when it is refused."""
    from dataclasses import asdict

    from backend.cli.session import with_platform
    from backend.kernel.canonical import parse_decimal
    from backend.ports.policy import OrderCheck

    order = OrderCheck(subject.lower(), instrument, parse_decimal(notional), model or None)
    verdict = with_platform(lambda platform: platform.outside.policy.check(order))
    show(asdict(verdict))
    raise typer.Exit(OK if verdict.allowed else FAILED)


@compliance.command("issue")
def compliance_issue(
    address: Address,
    kind: Kind = "common.kyc",
    expires: Annotated[str, typer.Option(help="Its end, e.g. 2017-06-01T21:00:00Z; else it holds for ever.")] = "",
) -> None:
    """Give a wallet a credential on chain, or another end to the one that it has."""
    from backend.cli.compliance.credentials import issue

    show(issue(address, kind, expires))


@compliance.command("revoke")
def compliance_revoke(address: Address, kind: Kind = "common.kyc") -> None:
    """Take a credential from a wallet; its orders are refused from the next block on."""
    from backend.cli.compliance.credentials import revoke

    show(revoke(address, kind))


@compliance.command("status")
def compliance_status(
    address: Annotated[str, typer.Argument(help="A wallet; none for the watching.", callback=_maybe_wallet)] = "",
    as_json: Json = False,
) -> None:
    """Show how fresh the watching of the rules is; of a wallet, where it stands with them. Exit 1: not watched."""
    from backend.cli.compliance.status import account, told, told_watching, watching

    shown = account(address) if address else watching()
    if as_json:
        show(shown)
    else:
        typer.echo("\n".join(told(shown) if address else told_watching(shown)))
    raise typer.Exit(OK if address or shown["fresh"] else FAILED)


@compliance.command("caps")
def compliance_caps(address: Address, as_json: Json = False) -> None:
    """Show what bounds a wallet's next order on chain; exit 1 while it may trade nothing."""
    from backend.cli.compliance.status import account, told_cap

    cap: dict[str, Any] | None = account(address)["cap"]
    if as_json:
        show({"cap": cap})
    else:
        typer.echo(told_cap(cap))
    raise typer.Exit(FAILED if cap is not None and cap["opened_at"] is None else OK)


@compliance.command("limit")
def compliance_limit(
    policy: Annotated[str, typer.Option(help="VolumePolicy or SlidingVolumePolicy.")],
    value: Annotated[str, typer.Option(help="The new limit in USD; without it, what is allowed is shown.")] = "",
    as_json: Json = False,
) -> None:
    """Move a limit on chain as far as its rule lets an operator; exit 1 names what is allowed, and when."""
    from backend.cli.compliance.limits import move, rule

    shown = move(policy, value) if value else rule(policy)
    if as_json:
        show(shown)
    else:
        typer.echo(shown["text"])
