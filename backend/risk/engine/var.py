"""Value-at-Risk and expected shortfall, exact on integers and plain on float64.

Conventions. VaR_c = minus the k-th smallest P&L, k = ceil(n(1-c)) computed in integers: the order statistic that
riskfolio, skfolio, QuantLib and numpy's "inverted_cdf" give. ES is Rockafellar and Uryasev's (2002) exact weighted
tail. A loss is positive. The circuits, the contracts' policies and the tests use the same `tail_rank`.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from backend.kernel.errors import Invalid
from backend.kernel.fixed import PNL_DECIMALS, from_units

Confidence = Decimal | Fraction
Floats = NDArray[np.float64]
Rows = Sequence[Sequence[int]] | NDArray[np.integer]

HIGH_CONFIDENCE = Fraction(99, 100)
HIGH_CONFIDENCE_WINDOW = 250  # on 90 days the 99 % VaR would be the worst day
MAILLARD_MAX_SKEW = 6 * (math.sqrt(2) - 1)


def tail_mass(window: int, confidence: Confidence) -> Fraction:
    """Return n(1-c) in lowest terms, a/b; raise Invalid where a VaR would mean nothing."""
    level = Fraction(confidence)
    if not 0 < level < 1:
        raise Invalid(f"confidence {confidence} is not between 0 and 1")
    if window < 1:
        raise Invalid("a window holds at least one day")
    if level >= HIGH_CONFIDENCE and window < HIGH_CONFIDENCE_WINDOW:
        raise Invalid(f"{confidence} confidence needs {HIGH_CONFIDENCE_WINDOW} days, got {window}")
    return window * (1 - level)


def tail_rank(window: int, confidence: Confidence) -> int:
    """Return k = ceil(n(1-c)): VaR_c is the k-th largest loss of n."""
    return math.ceil(tail_mass(window, confidence))


def pnl_units(quantities_units: Sequence[int], prices_units: Sequence[int], returns_units: Rows) -> list[int]:
    """Return each day's P&L of a position, exactly.

    quantities (N,) signed, 1e-6; prices (N,), 1e-4 USD; returns (W, N) signed, 1e-6. Result (W,), 1e-16 USD, a gain
    positive: p_w = sum_n q_n price_n R[w][n].
    """
    exposures = [quantity * price for quantity, price in zip(quantities_units, prices_units, strict=True)]
    return [sum(e * r for e, r in zip(exposures, row, strict=True)) for row in _integers(returns_units)]


def historical_var_units(pnl: Sequence[int], confidence: Confidence) -> int:
    """Return minus the k-th smallest P&L, in the P&L's unit; negative where even that day gained."""
    rank = tail_rank(len(pnl), confidence)
    return -heapq.nsmallest(rank, pnl)[-1]


def attestable_var_units(pnl: Sequence[int], confidence: Confidence) -> int:
    """Return the VaR clamped at zero: the smallest limit that an attestation can prove."""
    return max(0, historical_var_units(pnl, confidence))


def expected_shortfall_units(pnl: Sequence[int], confidence: Confidence) -> Fraction:
    """Return the mean loss of the worst a/b days, the k-th day weighted with what remains of a/b."""
    mass = tail_mass(len(pnl), confidence)
    *inner, boundary = heapq.nsmallest(math.ceil(mass), pnl)
    return -(sum(inner) + (mass - len(inner)) * boundary) / mass


def attestable_es_units(pnl: Sequence[int], confidence: Confidence) -> int:
    """Return the expected shortfall rounded up, clamped at zero: the smallest limit that an attestation can prove."""
    return max(0, math.ceil(expected_shortfall_units(pnl, confidence)))


def usd(units: int) -> Decimal:
    """Return P&L units (1e-16 USD) as exact Decimal USD."""
    return from_units(units, PNL_DECIMALS)


def historical_var(pnl: Floats, confidence: Confidence) -> float:
    """Return minus the k-th smallest of a float64 array (n,), in its unit; raise Invalid on NaN or infinity."""
    rank = tail_rank(_finite(pnl).size, confidence)
    return -float(np.partition(pnl, rank - 1)[rank - 1])


def expected_shortfall(pnl: Floats, confidence: Confidence) -> float:
    """Return Rockafellar and Uryasev's expected shortfall of a float64 array (n,), in its unit."""
    mass = tail_mass(_finite(pnl).size, confidence)
    rank = math.ceil(mass)
    worst = np.sort(np.partition(pnl, rank - 1)[:rank])
    return -(float(worst[:-1].sum()) + float(mass - (rank - 1)) * float(worst[-1])) / float(mass)


@dataclass(frozen=True, slots=True)
class Moments:
    """Population moments (divided by n): mean, standard deviation, skewness, excess kurtosis."""

    mean: float
    deviation: float
    skew: float
    excess: float


@dataclass(frozen=True, slots=True)
class OutsideDomain:
    """Cornish-Fisher says nothing here: the expansion is no quantile function for these parameters."""

    skew: float
    excess: float
    reason: str


def moments(pnl: Floats) -> Moments:
    """Return the population moments of a float64 array (n,); raise Invalid when it is constant."""
    mean = float(_finite(pnl).mean())
    centred = pnl - mean
    variance = float((centred**2).mean())
    if variance <= 0:
        raise Invalid("a constant series has no skewness")
    skew = float((centred**3).mean()) / variance**1.5
    return Moments(mean, math.sqrt(variance), skew, float((centred**4).mean()) / variance**2 - 3)


def gaussian_var(of: Moments, confidence: Confidence) -> float:
    """Return the VaR of a normal distribution with these moments."""
    return -(of.mean + of.deviation * _normal_quantile(confidence))


def cornish_fisher_quantile(z: float, skew: float, excess: float) -> float:
    """Return the fourth-order expansion's quantile at the normal quantile z, valid or not."""
    return z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skew**2 / 36


def cornish_fisher_domain(skew: float, excess: float) -> OutsideDomain | None:
    """Return None where the expansion rises monotonically (Maillard 2012), else why it does not."""
    if abs(skew) > MAILLARD_MAX_SKEW:
        return OutsideDomain(skew, excess, f"|skew| exceeds {MAILLARD_MAX_SKEW:.4f}")
    if 27 * excess**2 - (216 + 66 * skew**2) * excess + 40 * skew**4 + 336 * skew**2 > 0:
        return OutsideDomain(skew, excess, "the excess kurtosis does not fit the skew")
    return None


def cornish_fisher_var(of: Moments, confidence: Confidence) -> float | OutsideDomain:
    """Return the modified VaR, or OutsideDomain: never a number from an expansion that is no quantile function."""
    outside = cornish_fisher_domain(of.skew, of.excess)
    if outside is not None:
        return outside
    return -(of.mean + of.deviation * cornish_fisher_quantile(_normal_quantile(confidence), of.skew, of.excess))


@dataclass(frozen=True, slots=True)
class Book:
    """A position's daily P&L, kept so that one order's effect costs W multiplications, whatever N is.

    columns (N, W): price_n R[w][n], 1e-10 USD a quantity unit; pnl (W,), 1e-16 USD.
    """

    columns: tuple[tuple[int, ...], ...]
    pnl: tuple[int, ...]

    def after(self, instrument: int, quantity_units: int) -> "Book":
        """Return the book after a signed change of one instrument's quantity (1e-6)."""
        column = self.columns[instrument]
        changed = tuple(p + quantity_units * unit for p, unit in zip(self.pnl, column, strict=True))
        return Book(self.columns, changed)

    def var(self, confidence: Confidence) -> Decimal:
        """Return the VaR in USD, exact, clamped at zero."""
        return usd(attestable_var_units(self.pnl, confidence))

    def es(self, confidence: Confidence) -> Decimal:
        """Return the expected shortfall in USD, rounded up to a unit, clamped at zero."""
        return usd(attestable_es_units(self.pnl, confidence))


def book(quantities_units: Sequence[int], prices_units: Sequence[int], returns_units: Rows) -> Book:
    """Return the book of a position; units and shapes as in `pnl_units`."""
    rows = _integers(returns_units)
    by_instrument = zip(prices_units, zip(*rows, strict=True), strict=True)
    columns = tuple(tuple(price * unit for unit in column) for price, column in by_instrument)
    return Book(columns, tuple(pnl_units(quantities_units, prices_units, rows)))


def _integers(rows: Rows) -> Sequence[Sequence[int]]:
    # numpy's int64 would wrap silently in products of this size
    return rows.tolist() if isinstance(rows, np.ndarray) else rows


def _finite(pnl: Floats) -> Floats:
    if pnl.ndim != 1 or not np.isfinite(pnl).all():
        raise Invalid("expected a one-dimensional array of finite numbers")
    return pnl


def _normal_quantile(confidence: Confidence) -> float:
    return NormalDist().inv_cdf(float(1 - Fraction(confidence)))
