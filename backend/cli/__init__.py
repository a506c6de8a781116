"""The `refi` command: nothing heavy is imported before a verb needs it."""


def main() -> None:
    """Run the command line."""
    from backend.cli.verbs import run_with_every_verb

    run_with_every_verb()
