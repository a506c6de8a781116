"""The `refi` command: nothing heavy is imported before a verb needs it."""


def main() -> None:
    """Run the command line."""
    from backend.cli.app import run

    run()
