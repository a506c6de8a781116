"""Two ways to the same answer, timed in turns: wall and CPU seconds a unit, the least of several rounds."""

import cProfile
import io
import pstats
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

ROUNDS = 5
SAMPLE_SECONDS = 0.05
MAX_REPEATS = 1 << 20
TURN = 20

Progress = Callable[[str], None]


class Meaningless(Exception):
    """The benchmark measures nothing, or its two sides do different work."""


@dataclass(frozen=True, slots=True)
class Side:
    """One way to the answer: a name and a call that does the work once."""

    name: str
    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides, how many units one call of either does, and whether their answers agree."""

    ours: Side
    peer: Side
    units: int
    agree: Callable[[Any, Any], bool]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named comparison; `prepare` opens what both sides need and closes it again.

    With `samples`, each of so many calls a side is timed by itself, and the median and the 99th percentile are shown.
    """

    name: str
    unit: str
    prepare: Callable[[], AbstractContextManager[Pair]]
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds a unit: of wall time, and of CPU time over every thread of the process."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table; the ratio is the peer's wall time over ours: above 1, ours is faster."""

    name: str
    unit: str
    ours: str
    our_cost: Cost
    peer: str
    peer_cost: Cost
    ratio: float
    cpu_ratio: float


def measure(benchmark: Benchmark, *, rounds: int = ROUNDS, sample_seconds: float = SAMPLE_SECONDS) -> Result:
    """Return a benchmark's figures; raise Meaningless where they would say nothing."""
    with benchmark.prepare() as pair:
        if pair.units < 1:
            raise Meaningless(f"{benchmark.name}: a call does no unit of work")
        answer, other = pair.ours.work(), pair.peer.work()
        if answer is None or other is None:
            raise Meaningless(f"{benchmark.name}: a side answers nothing")
        if not pair.agree(answer, other):
            raise Meaningless(f"{benchmark.name}: {pair.ours.name} and {pair.peer.name} disagree")
        sides = (pair.ours, pair.peer)
        repeats = [_repeats(side, sample_seconds) for side in sides]
        samples: tuple[list[Cost], list[Cost]] = ([], [])
        for turn in range(rounds):
            # The side that goes first changes: a machine that slows down in a round slows both.
            for at in (0, 1) if turn % 2 == 0 else (1, 0):
                samples[at].append(_sample(sides[at], repeats[at], pair.units))
    ours, peer = (_least(found) for found in samples)
    return _result(benchmark.name, benchmark.unit, pair, (ours, peer))


def measure_spread(benchmark: Benchmark) -> list[Result]:
    """Return the median and the 99th percentile of a benchmark's single calls, every answer compared."""
    samples: tuple[list[Cost], list[Cost]] = ([], [])
    with benchmark.prepare() as pair:
        # In turns, but not call by call: neither side starts each call with the other's caches.
        for turn in range(-(-benchmark.samples // TURN)):
            answers: tuple[list[Any], list[Any]] = ([], [])
            for at in (0, 1) if turn % 2 == 0 else (1, 0):
                work = (pair.ours, pair.peer)[at].work
                for _ in range(min(TURN, benchmark.samples)):
                    wall, cpu = time.perf_counter(), time.process_time()
                    answers[at].append(work())
                    samples[at].append(Cost(time.perf_counter() - wall, time.process_time() - cpu))
            if not all(map(pair.agree, *answers)):
                raise Meaningless(f"{benchmark.name}: {pair.ours.name} and {pair.peer.name} disagree")
    return [
        _result(f"{benchmark.name} {name}", benchmark.unit, pair, (_rank(samples[0], share), _rank(samples[1], share)))
        for name, share in (("p50", 50), ("p99", 99))
    ]


def measure_all(benchmarks: Sequence[Benchmark], progress: Progress) -> Iterator[Result]:
    """Yield each benchmark's figures, saying where it stands."""
    for number, benchmark in enumerate(benchmarks, start=1):
        started = time.perf_counter()
        results = measure_spread(benchmark) if benchmark.samples else [measure(benchmark)]
        progress(f"{number}/{len(benchmarks)} {benchmark.name}: {time.perf_counter() - started:.1f} s")
        yield from results


def chosen(benchmarks: Sequence[Benchmark], only: str | None) -> list[Benchmark]:
    """Return the benchmarks whose name contains `only`, all without it; raise Meaningless when that is none."""
    found = [benchmark for benchmark in benchmarks if only is None or only in benchmark.name]
    if not found:
        raise Meaningless(f"no benchmark is called {only}")
    return found


def profiled(benchmark: Benchmark, lines: int = 40) -> str:
    """Return where one warm call of our side spends its time, in this thread only."""
    profile, text = cProfile.Profile(), io.StringIO()
    with benchmark.prepare() as pair:
        pair.ours.work()
        profile.runcall(pair.ours.work)
        statistics = pstats.Stats(profile, stream=text).strip_dirs().sort_stats("cumulative")
    statistics.print_stats(lines)
    return text.getvalue()


def table(results: Sequence[Result]) -> list[str]:
    """Return the results as lines of aligned columns."""
    head = ("benchmark", "ours", "wall", "CPU", "peer", "wall", "CPU", "wall x", "CPU x")
    rows = [
        (
            f"{row.name} / {row.unit}",
            row.ours,
            duration(row.our_cost.wall),
            duration(row.our_cost.cpu),
            row.peer,
            duration(row.peer_cost.wall),
            duration(row.peer_cost.cpu),
            f"{row.ratio:.3g}",
            f"{row.cpu_ratio:.3g}",
        )
        for row in results
    ]
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]


def documents(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the results as JSON values."""
    return [asdict(result) for result in results]


def duration(seconds: float) -> str:
    """Write seconds with three digits and a unit that suits them."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _repeats(side: Side, sample_seconds: float) -> int:
    repeats = 1
    while repeats < MAX_REPEATS:
        wall = _sample(side, repeats, 1).wall * repeats
        if wall >= sample_seconds:
            break
        repeats *= max(2, min(100, int(sample_seconds / max(wall, 1e-9))))
    return repeats


def _sample(side: Side, repeats: int, units: int) -> Cost:
    work = side.work
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(wall / repeats / units, cpu / repeats / units)


def _result(name: str, unit: str, pair: Pair, costs: tuple[Cost, Cost]) -> Result:
    ours, peer = costs
    if min(ours.wall, peer.wall) <= 0:
        raise Meaningless(f"{name}: no time passed")
    cpu_ratio = peer.cpu / ours.cpu if ours.cpu > 0 else float("inf")
    return Result(name, unit, pair.ours.name, ours, pair.peer.name, peer, peer.wall / ours.wall, cpu_ratio)


def _rank(samples: Sequence[Cost], percent: int) -> Cost:
    at = -(-len(samples) * percent // 100) - 1
    return Cost(sorted(sample.wall for sample in samples)[at], sorted(sample.cpu for sample in samples)[at])


def _least(samples: Sequence[Cost]) -> Cost:
    return Cost(min(sample.wall for sample in samples), min(sample.cpu for sample in samples))
