"""Measure against named peers: `python -m tests.benchmarks [--only NAME] [--json | --profile]`."""

import argparse
import json
import sys
from typing import TextIO

from tests.benchmarks import engines, logs, trees
from tests.benchmarks.harness import Meaningless, chosen, documents, measure_all, profiled, table

BENCHMARKS = (*engines.BENCHMARKS, *logs.BENCHMARKS, *trees.BENCHMARKS)


def main() -> int:
    """Run the chosen benchmarks, progress on stderr, the table on stdout."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="only benchmarks whose name contains this")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document")
    form.add_argument("--profile", action="store_true", help="measure nothing, show where our side spends its time")
    options = parser.parse_args()
    try:
        if options.profile:
            for benchmark in chosen(BENCHMARKS, options.only):
                _say(sys.stdout, f"{benchmark.name}\n{profiled(benchmark)}")
            return 0
        results = list(measure_all(chosen(BENCHMARKS, options.only), lambda line: _say(sys.stderr, line)))
    except Meaningless as error:
        _say(sys.stderr, f"error: {error}")
        return 1
    if options.json:
        _say(sys.stdout, json.dumps({"benchmarks": documents(results)}))
    else:
        _say(sys.stdout, "\n".join([*table(results), "", "x: the peer's time over ours; above 1, ours is faster"]))
    return 0


def _say(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
