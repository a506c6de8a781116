"""The groups of verbs that work on a deployment."""

import typer


def register(app: typer.Typer) -> None:
    """Add the groups to the command line."""
