"""Tamper with the good evidence packs: `python -m scripts.chaos.packs [--mutations N] [--seed N] [--classes NAME ...]`.

Every tampered pack must be refused by name. What is left out, because it says nothing else: another layout of the
same JSON, Q-values within the tolerance that the format names, and whole parts taken away (a section, a disclosure,
the first or last records of a page), which leave another true pack.
"""

import argparse
import copy
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from backend.transparency.engine.verifier import Q_TOLERANCE, Named, Report, Rpc, examine
from scripts.chaos.pack_cases import Case, Replay, dump, load_cases, named_of
from scripts.chaos.pack_mutations import MUTATIONS

DEFAULT_MUTATIONS = 10_000
Examine = Callable[[bytes, Named, Sequence[Rpc]], Report]


@dataclass(slots=True)
class Tally:
    """What became of one class: how many were refused and by which check, accepted, or crashed the verifier."""

    refused: int = 0
    accepted: list[str] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Tampered:
    """A tampered pack with where it comes from."""

    label: str
    case: Case
    content: bytes
    pack: Any


def run(
    cases: Sequence[Case], count: int, seed: int, verifier: Examine = examine, classes: Sequence[str] = ()
) -> dict[str, Tally]:
    """Tamper `count` times, class by class in turn, and tally what the verifier says."""
    draw = Random(seed)  # noqa: S311 - reproducible, not secret
    names = list(classes) or list(MUTATIONS)
    tallies = {name: Tally() for name in names}
    for number in range(count):
        name = names[number % len(names)]
        tampered = tamper(name, cases, draw)
        tally = tallies[name]
        try:
            report = verdict(tampered, verifier)
        except Exception as error:  # noqa: BLE001 - whatever it is, the verifier must not raise it
            tally.accepted.append(f"{tampered.label} #{number}: crashed with {type(error).__name__}: {error}"[:300])
            continue
        failed = [check.name for check in report.checks if check.result == "fail"]
        if failed and report.exit_code == 1:
            tally.refused += 1
            tally.checks.update(failed)
        else:
            tally.accepted.append(f"{tampered.label} #{number}: {report.verdict}")
    return tallies


def tamper(name: str, cases: Sequence[Case], draw: Random) -> Tampered:
    """Return a pack of some case that says something else than it did."""
    for _ in range(1000):
        case = draw.choice(cases)
        mutant = MUTATIONS[name](case.pack, draw, cases)
        if mutant is None:
            continue
        content = mutant if isinstance(mutant, bytes) else dump(mutant).encode("utf-8", "surrogatepass")
        pack = _parsed(content)
        if pack is None or not says_the_same(case.pack, pack):
            return Tampered(f"{name} ({case.name})", case, content, pack)
    raise SystemExit(f"{name} fits none of the packs")


def verdict(tampered: Tampered, verifier: Examine) -> Report:
    """Let a verifier examine a tampered pack with all that it may name."""
    case = tampered.case
    changed = isinstance(tampered.pack, dict) and tampered.pack.get("var") != case.pack.get("var")
    named = named_of(case, with_returns=changed)
    return verifier(tampered.content, named, [Replay(case.answers)])


def says_the_same(pack: Any, other: Any) -> bool:
    """Tell whether two packs differ in their layout, or within the tolerance of Q-values, only."""
    if isinstance(other, dict) and isinstance(other.get("model"), dict) and "model" in pack:
        mine, theirs = pack["model"]["q_values"], other["model"].get("q_values")
        if _within_tolerance(mine, theirs):
            other = copy.deepcopy(other)
            other["model"]["q_values"] = mine
    return json.dumps(pack, sort_keys=True) == json.dumps(other, sort_keys=True)


def _within_tolerance(mine: list[str], theirs: Any) -> bool:
    try:
        pairs = list(zip(map(float, mine), map(float, theirs), strict=True))
    except (TypeError, ValueError):
        return False
    return all(type(text) is str for text in theirs) and all(abs(a - b) <= Q_TOLERANCE * 1.1 for a, b in pairs)


def _parsed(content: bytes) -> Any:
    # A key twice, a float or an odd integer is a change, whatever a lenient reader makes of it.
    def strict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError
        return dict(pairs)

    def odd(text: str) -> str:
        return f"number {text}"

    def whole(text: str) -> int | str:
        return odd(text) if text == "-0" else int(text)

    try:
        return json.loads(content.decode(), object_pairs_hook=strict, parse_float=odd, parse_int=whole)
    except ValueError:
        return None


def lines(tallies: dict[str, Tally]) -> Iterator[str]:
    """Yield the table by class, and every pack that was accepted."""
    yield f"{'class':<44}{'refused':>8}{'accepted':>9}  failing checks"
    for name, tally in tallies.items():
        checks = ", ".join(f"{check} {times}" for check, times in tally.checks.most_common(4))
        yield f"{name:<44}{tally.refused:>8}{len(tally.accepted):>9}  {checks}"
    for tally in tallies.values():
        yield from (f"ACCEPTED {line}" for line in tally.accepted[:5])


def main() -> int:
    """Run the mutations and print the table; exit 1 where anything was accepted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=DEFAULT_MUTATIONS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--classes", nargs="*", default=[], choices=list(MUTATIONS), metavar="NAME")
    options = parser.parse_args()
    started = time.monotonic()
    cases = load_cases()
    tallies = run(cases, options.mutations, options.seed, classes=options.classes)
    print(*lines(tallies), sep="\n")
    accepted = sum(len(tally.accepted) for tally in tallies.values())
    refused = sum(tally.refused for tally in tallies.values())
    seconds = time.monotonic() - started
    print(f"{refused} of {options.mutations} tampered packs in {len(tallies)} classes over {len(cases)} packs refused")
    print(f"{accepted} accepted, seed {options.seed}, {seconds:.0f} s")
    return 1 if accepted else 0


if __name__ == "__main__":
    sys.exit(main())
