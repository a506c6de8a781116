"""What a person sees while a long run goes on: one line a stage, then a table."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


@dataclass(slots=True)
class Stages:
    """Times the stages of a run and shows each as one line on standard error."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    done: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[str], None]]:
        """Show a running stage; the yielded function replaces its detail."""
        started = time.monotonic()
        detail = ""

        def line(mark: str, style: str) -> Text:
            seconds = time.monotonic() - started
            return Text.assemble((f" {mark} ", style), f"{len(self.done) + 1:>2} {name:<22} {seconds:6.1f} s  ", detail)

        def tell(text: str) -> None:
            nonlocal detail
            detail = text
            live.update(running())

        def running() -> Table:
            row = Table.grid()
            row.add_row(Spinner("dots"), line("", "cyan"))
            return row

        with Live(running(), console=self.console, transient=True, refresh_per_second=8) as live:
            try:
                yield tell
            except BaseException:
                live.stop()
                self.console.print(line("x", "bold red"), soft_wrap=True)
                raise
        self.console.print(line("✓", "bold green"), soft_wrap=True)
        self.done.append((name, round(time.monotonic() - started, 2)))


def table(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    """Return a two-column table."""
    shown = Table(title=title, title_justify="left", show_header=False, pad_edge=False)
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in rows:
        shown.add_row(name, value)
    return shown


def checks_table(checks: Sequence[Mapping[str, str]]) -> Table:
    """Return the verifier's checks, one line each."""
    colours = {"pass": "green", "fail": "bold red", "skipped": "yellow"}
    shown = Table(title="Verification", title_justify="left", pad_edge=False)
    for heading in ("check", "result", "detail"):
        shown.add_column(heading, overflow="fold")
    for check in checks:
        result = check["result"]
        shown.add_row(check["name"], Text(result, colours.get(result, "")), check["detail"])
    return shown
