"""The verbs of onboarding."""

from typing import Annotated, Any

import typer

from backend.cli.app import Json, show
from backend.kernel.errors import NotFound
from backend.onboarding.types import Reason, Verdict

onboarding = typer.Typer(
    name="onboarding", help="Decide on people and organisations who ask to be identified.", no_args_is_help=True
)
CaseId = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="The case's number, as the queue shows it.")]
REASONS = ", ".join(Reason)
WhyApproved = Annotated[str, typer.Option("--reason", help=f"Why, as a code: {REASONS}.")]


@onboarding.command("queue")
def queue(as_json: Json = False) -> None:
    """List the cases that wait for a decision."""
    from backend.cli.onboarding.work import queued

    cases = queued()
    if as_json:
        show(cases)
        return
    for case in cases:
        typer.echo(
            f"{case['id']:>6}  {case['kind']:<12} {case['address']}  round {case['round']}  "
            f"provider says {case['finding'] or '-'}, lists say {case['screening'] or '-'}"
        )
    if not cases:
        typer.echo("nobody waits")


@onboarding.command("show")
def show_case(case_id: CaseId) -> None:
    """Show a case; nothing of who the applicant is."""
    from backend.cli.onboarding.work import viewed

    show(viewed(case_id))


@onboarding.command("who")
def who(case_id: CaseId) -> None:
    """Show who a case's applicant is; that it was looked at is recorded."""
    from backend.cli.onboarding.work import disclosed

    show(disclosed(case_id))


@onboarding.command("approve")
def approve(case_id: CaseId, reason: WhyApproved = "documents_verified", as_json: Json = False) -> None:
    """Approve a case and put its credentials on chain; an organisation may need a second operator."""
    _told(_decide(case_id, "approve", reason), as_json=as_json)


@onboarding.command("reject")
def reject(
    case_id: CaseId,
    reason: Annotated[str, typer.Option("--reason", help=f"Why, as a code: {REASONS}.")],
    as_json: Json = False,
) -> None:
    """Reject a case and take what was issued."""
    _told(_decide(case_id, "reject", reason), as_json=as_json)


@onboarding.command("run")
def run_due(as_json: Json = False) -> None:
    """Do now what is due: ask the provider and the chain, watch the ends of credentials, screen again."""
    from backend.cli.onboarding.work import carried

    done = carried()
    if as_json:
        show({"cases": done})
    else:
        typer.echo(f"looked at {len(done)} case{'' if len(done) == 1 else 's'}")


@onboarding.command("reseal")
def reseal(as_json: Json = False) -> None:
    """Seal every applicant anew with the newest key; the older keys may go afterwards."""
    from backend.cli.onboarding.work import resealed

    count = resealed()
    if as_json:
        show({"resealed": count})
    else:
        typer.echo(f"sealed {count} anew")


def _decide(case_id: int, verdict: str, reason: str) -> dict[str, Any]:
    from backend.cli.onboarding.work import decided

    if reason not in set(Reason):
        raise typer.BadParameter(f"{reason!r} is no reason: {REASONS}")
    return decided(case_id, Verdict(verdict), Reason(reason))


def _told(case: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show(case)
        return
    waiting = " (a second operator must approve)" if case["seconded"] else ""
    on_chain = "on chain" if case["issued"] else "not on chain"
    typer.echo(f"case {case['id']}: {case['state']}{waiting}, credentials {on_chain}")
    if case["state"] == "approved" and not case["issued"]:
        raise NotFound("approved, but the credentials are not on chain yet; they follow when the chain answers")
