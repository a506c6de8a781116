"""Verbs over sanctions lists: take them in, ask them, decide on what they found."""

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.cli.app import Json, choose, show
from backend.kernel.errors import Invalid
from backend.ports.screening import ListFormat, Outcome, ScreeningSubject, SubjectKind
from backend.screening.types import Decision, HitState, LoadedList

OPERATOR = "operator:cli"

lists = typer.Typer(name="lists", help="The sanctions lists in force.")


@lists.callback(invoke_without_command=True)
def show_lists(context: typer.Context, as_json: Json = False) -> None:
    """Show the lists in force; exit 1 where there is none: nobody can be screened then."""
    from backend.cli.session import with_platform
    from backend.screening.service import ScreeningLists

    if context.invoked_subcommand is not None:
        return

    async def work(platform: Any) -> list[LoadedList]:
        async with platform.database.reading() as session:
            found: list[LoadedList] = await platform.service(ScreeningLists).loaded(session)
            return found

    loaded = with_platform(work)
    if as_json:
        show([asdict(known) for known in loaded])
    else:
        for known in loaded:
            typer.echo(told(known))
        if not loaded:
            typer.echo(
                "no list is loaded: `refi compliance lists update --file FILE --kind KIND` takes one in", err=True
            )
    raise typer.Exit(0 if loaded else 1)


@lists.command("update")
def update_list(
    file: Annotated[
        Path, typer.Option(help="The list as published; for CSV sdn.csv, with alt.csv and add.csv beside.")
    ],
    kind: Annotated[str, typer.Option(help=f"{', '.join(ListFormat)}.")],
    name: Annotated[str, typer.Option(help="What the list is called here; else what its format is.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Take a list that has lost half its entries.")] = False,
    as_json: Json = False,
) -> None:
    """Put a list file in force, as a whole or not at all; everybody is screened again."""
    from backend.cli.session import with_platform
    from backend.screening.service import ScreeningLists

    choose(kind, list(ListFormat), "kind")

    async def work(platform: Any) -> dict[str, Any]:
        service: ScreeningLists = platform.service(ScreeningLists)
        return asdict(await service.update(file, ListFormat(kind), name=name, force=force, actor=OPERATOR))

    updated = with_platform(work)
    if as_json:
        show(updated)
        return
    loaded = updated["loaded"]
    change = f"was {updated['entries_before']}" if updated["version_before"] else "new"
    if not updated["job"]:
        change = "as before"
    typer.echo(f"{loaded['name']}: {loaded['entries']} entries ({change}), version {loaded['version']}")


def screen(
    name: Annotated[list[str] | None, typer.Option(help="A name; several are all looked for.")] = None,
    birth_date: Annotated[str, typer.Option(help="YYYY-MM-DD, or YYYY.")] = "",
    wallet: Annotated[list[str] | None, typer.Option(help="A wallet of any chain.")] = None,
    country: Annotated[str, typer.Option(help="ISO 3166 alpha-2.")] = "",
    organisation: Annotated[bool, typer.Option("--organisation", help="The name is an organisation's.")] = False,
    as_json: Json = False,
) -> None:
    """Look somebody up on the lists in force and keep nothing; exit 1 unless nothing is found."""
    from backend.cli.session import with_platform
    from backend.screening.service import ScreeningService

    if not name and not wallet:
        raise Invalid("name somebody: --name or --wallet")
    kind = SubjectKind.ORGANISATION if organisation else SubjectKind.PERSON
    subject = ScreeningSubject(kind, tuple(name or ()), born(birth_date), country.upper(), tuple(wallet or ()))
    result = with_platform(lambda platform: platform.service(ScreeningService).peek(subject))
    if as_json:
        show(asdict(result))
    else:
        for hit in result.hits:
            typer.echo(
                f"{hit.score:>3}  {hit.kind:<8} {hit.list_name} {hit.entry_id}  {hit.matched_name}: "
                f"{', '.join(hit.reasons)}"
            )
        typer.echo(f"{result.decided} against {', '.join(known.name for known in result.lists)}")
    raise typer.Exit(0 if result.decided is Outcome.CLEAR else 1)


def hits(
    state: Annotated[str, typer.Option(help=f"{', '.join(HitState)}, or all.")] = HitState.OPEN.value,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    before: Annotated[int, typer.Option(min=0, help="Only hits with a lower number.")] = 0,
    as_json: Json = False,
) -> None:
    """Show hits that wait for a person, newest first."""
    from backend.cli.session import with_platform
    from backend.kit.pagination import PageRequest
    from backend.screening.service import ScreeningReviews

    choose(state, [*HitState, "all"], "state")

    async def work(platform: Any) -> Any:
        async with platform.database.reading() as session:
            wanted = None if state == "all" else HitState(state)
            reviews: ScreeningReviews = platform.service(ScreeningReviews)
            return await reviews.page(session, wanted, PageRequest(limit, before or None))

    page = with_platform(work)
    if as_json:
        show({"items": [asdict(hit) for hit in page.items], "next_before": page.next_before})
        return
    for hit in page.items:
        typer.echo(
            f"{hit.id:>6}  {hit.state:<9} {hit.score:>3}  {hit.kind:<8} {hit.list_name} {hit.entry_id}  "
            f"{hit.matched_name}  ({hit.reference}): {', '.join(hit.reasons)}"
        )
    if not page.items:
        typer.echo("no hit waits" if state == HitState.OPEN else "no hit")


def resolve(
    hit: Annotated[int, typer.Argument(min=1, help="The hit's number.")],
    decision: Annotated[str, typer.Option(help="cleared: another person; confirmed: the one on the list.")],
    reason: Annotated[str, typer.Option(help="Why; it stays with the hit, the log has its hash.")],
    as_json: Json = False,
) -> None:
    """Decide on a hit; a confirmed sanction blocks the wallet on chain."""
    from backend.cli.session import with_platform
    from backend.screening.service import ScreeningReviews

    choose(decision, list(Decision), "decision")
    if len(reason.strip()) < 3:
        raise Invalid("say why: --reason")

    async def work(platform: Any) -> dict[str, Any]:
        reviews: ScreeningReviews = platform.service(ScreeningReviews)
        async with platform.database.transaction() as session:
            decided = await reviews.resolve(session, hit, Decision(decision), reason, caller=None, actor=OPERATOR)
            return asdict(decided)

    decided = with_platform(work)
    if as_json:
        show(decided)
    else:
        typer.echo(f"hit {decided['id']}: {decided['state']}")


def add_to(compliance: typer.Typer) -> None:
    """Add the verbs to the group that they belong to."""
    compliance.add_typer(lists)
    compliance.command("screen")(screen)
    compliance.command("hits")(hits)
    compliance.command("resolve")(resolve)


def born(text: str) -> date | int | None:
    """Return a birth date or year, or nothing."""
    if not text:
        return None
    try:
        return int(text) if len(text) == 4 else date.fromisoformat(text)
    except ValueError as malformed:
        raise Invalid(f"{text!r} is no birth date: YYYY-MM-DD or YYYY") from malformed


def told(known: LoadedList) -> str:
    """Return a list in a line."""
    old = "  too old: update it" if known.stale else ""
    return f"{known.name:<16} {known.entries:>8} entries  {known.loaded_at:%Y-%m-%d %H:%M}  {known.version}{old}"
