"""Does a VaR model's record of exceptions fit its confidence? Likelihood-ratio tests and the Basel zones."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backend.kernel.errors import Invalid

Zone = Literal["green", "yellow", "red"]

BASEL_DAYS = 250
BASEL_TAIL = 0.01
# Basel Committee (1996), supervisory framework for backtesting, table 2: added to the multiplier of 3
PLUS_FACTORS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.40, 0.50, 0.65, 0.75, 0.85)
RED_PLUS_FACTOR = 1.0


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """A likelihood ratio and the probability of one at least as large if the model is right."""

    ratio: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Transitions:
    """Days counted by whether the day before and the day itself were exceptions."""

    calm_calm: int
    calm_exception: int
    exception_calm: int
    exception_exception: int


@dataclass(frozen=True, slots=True)
class TrafficLight:
    """The Basel zone, the multiplier's plus factor, and the probability of so many exceptions or fewer."""

    zone: Zone
    plus_factor: float
    cumulative: float


def kupiec(exceptions: int, days: int, tail: float) -> LikelihoodRatio:
    """Return Kupiec's (1995) test of coverage: are exceptions as frequent as `tail`? Chi-squared, 1 degree."""
    if not 0 <= exceptions <= days or days < 1 or not 0 < tail < 1:
        raise Invalid(f"{exceptions} exceptions in {days} days at {tail} make no test")
    observed = exceptions / days
    expected = _log_likelihood(days - exceptions, exceptions, tail)
    ratio = 2 * (_log_likelihood(days - exceptions, exceptions, observed) - expected)
    return LikelihoodRatio(ratio, _chi_squared_tail(ratio, 1))


def transitions(flags: Sequence[bool]) -> Transitions:
    """Return the counts of day pairs in a sequence of exception flags."""
    pairs = list(itertools.pairwise(flags))
    return Transitions(*(pairs.count(kind) for kind in ((False, False), (False, True), (True, False), (True, True))))


def independence(counts: Transitions) -> LikelihoodRatio:
    """Return Christoffersen's (1998) test of independence: do exceptions cluster? Chi-squared, 1 degree."""
    calm = counts.calm_calm + counts.calm_exception
    stressed = counts.exception_calm + counts.exception_exception
    if calm + stressed == 0:
        raise Invalid("no pair of days to test")
    pooled = (counts.calm_exception + counts.exception_exception) / (calm + stressed)
    after_calm = counts.calm_exception / calm if calm else 0.0
    after_stress = counts.exception_exception / stressed if stressed else 0.0
    apart = _log_likelihood(counts.calm_calm, counts.calm_exception, after_calm) + _log_likelihood(
        counts.exception_calm, counts.exception_exception, after_stress
    )
    together = _log_likelihood(
        counts.calm_calm + counts.exception_calm, counts.calm_exception + counts.exception_exception, pooled
    )
    ratio = max(0.0, 2 * (apart - together))
    return LikelihoodRatio(ratio, _chi_squared_tail(ratio, 1))


def conditional_coverage(coverage: LikelihoodRatio, clustering: LikelihoodRatio) -> LikelihoodRatio:
    """Return Christoffersen's joint test: the sum of both ratios, chi-squared with 2 degrees."""
    ratio = coverage.ratio + clustering.ratio
    return LikelihoodRatio(ratio, _chi_squared_tail(ratio, 2))


def traffic_light(exceptions: int) -> TrafficLight:
    """Return the Basel zone for a number of exceptions in 250 days of a 99 % VaR."""
    if not 0 <= exceptions <= BASEL_DAYS:
        raise Invalid(f"{exceptions} exceptions in {BASEL_DAYS} days")
    cumulative = math.fsum(
        math.comb(BASEL_DAYS, i) * BASEL_TAIL**i * (1 - BASEL_TAIL) ** (BASEL_DAYS - i) for i in range(exceptions + 1)
    )
    if exceptions >= len(PLUS_FACTORS):
        return TrafficLight("red", RED_PLUS_FACTOR, cumulative)
    zone: Zone = "green" if PLUS_FACTORS[exceptions] == 0 else "yellow"
    return TrafficLight(zone, PLUS_FACTORS[exceptions], cumulative)


def _log_likelihood(misses: int, hits: int, probability: float) -> float:
    """Return misses ln(1-p) + hits ln(p), with 0 ln 0 = 0."""
    return (misses * math.log(1 - probability) if misses else 0.0) + (hits * math.log(probability) if hits else 0.0)


def _chi_squared_tail(ratio: float, degrees: Literal[1, 2]) -> float:
    ratio = max(0.0, ratio)
    return math.erfc(math.sqrt(ratio / 2)) if degrees == 1 else math.exp(-ratio / 2)
