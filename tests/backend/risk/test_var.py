"""VaR: exact ranks, published numbers, and no number where there is none."""

from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.errors import Invalid
from backend.risk.engine.var import (
    Moments,
    OutsideDomain,
    attestable_var_units,
    book,
    cornish_fisher_domain,
    cornish_fisher_quantile,
    cornish_fisher_var,
    expected_shortfall,
    expected_shortfall_units,
    gaussian_var,
    historical_var,
    historical_var_units,
    moments,
    pnl_units,
    tail_mass,
    tail_rank,
    usd,
)

C95 = Decimal("0.95")
C99 = Decimal("0.99")
LARGE = st.integers(-(1 << 99), 1 << 99)


@pytest.mark.parametrize(
    ("window", "confidence", "mass", "rank"),
    [
        (90, C95, Fraction(9, 2), 5),
        (100, C95, Fraction(5), 5),
        (250, C95, Fraction(25, 2), 13),
        (250, C99, Fraction(5, 2), 3),
        (1000, Fraction(99, 100), Fraction(10), 10),
        (20, C95, Fraction(1), 1),
    ],
)
def test_the_rank_is_the_tail_mass_rounded_up_without_floats(
    window: int, confidence: Decimal | Fraction, mass: Fraction, rank: int
) -> None:
    assert tail_mass(window, confidence) == mass
    assert tail_rank(window, confidence) == rank


@pytest.mark.parametrize("window", [1, 90, 249])
def test_99_percent_needs_250_days(window: int) -> None:
    with pytest.raises(Invalid, match="250 days"):
        tail_rank(window, C99)


@pytest.mark.parametrize("confidence", [Decimal(0), Decimal(1), Decimal("-0.1"), Decimal("1.5")])
def test_a_confidence_outside_0_and_1_is_refused(confidence: Decimal) -> None:
    with pytest.raises(Invalid):
        tail_rank(90, confidence)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(Invalid):
        historical_var_units([], C95)


@given(st.lists(LARGE, min_size=90, max_size=90))
def test_at_most_k_minus_1_losses_exceed_the_var_and_k_reach_it(pnl: list[int]) -> None:
    var = historical_var_units(pnl, C95)
    assert sum(-day > var for day in pnl) <= 4
    assert sum(-day >= var for day in pnl) >= 5
    assert attestable_var_units(pnl, C95) == max(0, var)


@given(st.lists(st.integers(-(1 << 40), 1 << 40), min_size=1, max_size=200))
def test_floats_agree_with_integers_and_with_numpys_inverted_cdf(pnl: list[int]) -> None:
    exact, floats = historical_var_units(pnl, C95), np.array(pnl, dtype=np.float64)
    assert historical_var(floats, C95) == exact
    # Where n(1-c) is whole, numpy's float 1-0.95 rounds to the next day: integers do not
    if len(pnl) % 20:
        assert -np.quantile(floats, 1 - float(C95), method="inverted_cdf") == exact
    assert expected_shortfall(floats, C95) == pytest.approx(float(expected_shortfall_units(pnl, C95)), rel=1e-12)


@given(st.lists(LARGE, min_size=90, max_size=90))
def test_expected_shortfall_is_the_minimum_of_rockafellar_and_uryasevs_function(pnl: list[int]) -> None:
    mass = tail_mass(90, C95)
    shortfall = expected_shortfall_units(pnl, C95)
    at = [v + sum((max(0, -day - v) for day in pnl), start=Fraction(0)) / mass for v in sorted(-day for day in pnl)]
    assert shortfall == min(at)
    assert shortfall >= historical_var_units(pnl, C95)


def test_the_boundary_day_counts_with_what_is_left_of_the_tail() -> None:
    pnl = [-100, -90, -80, -70, -60, *range(85)]
    assert historical_var_units(pnl, C95) == 60
    assert expected_shortfall_units(pnl, C95) == Fraction(100 + 90 + 80 + 70 + 30) / Fraction(9, 2)


def test_an_all_profit_window_has_a_negative_var_that_is_attested_as_zero() -> None:
    pnl = list(range(1, 91))
    assert historical_var_units(pnl, C95) == -5
    assert attestable_var_units(pnl, C95) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_floats_that_are_no_numbers_are_refused(bad: float) -> None:
    pnl = np.zeros(90)
    pnl[3] = bad
    for function in (historical_var, expected_shortfall):
        with pytest.raises(Invalid):
            function(pnl, C95)


def test_pnl_is_exact_and_does_not_wrap_in_numpy_integers() -> None:
    quantities, prices = [(1 << 40) - 1, -(1 << 40) + 1], [(1 << 32) - 1, 7]
    rows = [[(1 << 23) - 1, -(1 << 23)], [1, 2]]
    expected = [sum(q * p * r for q, p, r in zip(quantities, prices, row, strict=True)) for row in rows]
    assert pnl_units(quantities, prices, rows) == expected
    assert pnl_units(quantities, prices, np.array(rows, dtype=np.int32)) == expected


def test_units_become_usd_exactly() -> None:
    # 100 shares at 50 USD losing 2 %: 100 USD
    (day,) = pnl_units([100_000_000], [500_000], [[-20_000]])
    assert usd(day) == Decimal(-100)
    assert usd(1) == Decimal("1E-16")


@given(st.integers(0, 15), st.integers(-(10**12), 10**12), st.integers(0, 1000))
def test_the_books_change_equals_the_book_of_the_changed_position(instrument: int, change: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(-50_000, 50_000, (90, 16))
    quantities, prices = rng.integers(-(10**9), 10**9, 16).tolist(), rng.integers(1, 1 << 32, 16).tolist()
    after = [quantity + change * (place == instrument) for place, quantity in enumerate(quantities)]
    assert book(quantities, prices, rows).after(instrument, change) == book(after, prices, rows)


def test_closing_a_position_takes_its_risk_away() -> None:
    rows = [[-10_000 if day < 5 else 10_000] for day in range(90)]
    held = book([1_000_000], [1_000_000], rows)
    assert held.var(C95) == Decimal(1)
    assert held.after(0, 1_000_000).var(C95) == Decimal(2)
    assert held.after(0, -1_000_000).var(C95) == 0


def test_books_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        book([1], [1, 2], [[1, 2]])


def test_cornish_fisher_gives_dowds_published_number() -> None:
    # K. Dowd, "Measuring Market Risk", CornishFisherVaR(3.2, 5.6, 2, 3, .9); kurtosis 3 is an excess of 0
    z = NormalDist().inv_cdf(0.1)
    assert -(3.2 + 5.6 * cornish_fisher_quantile(z, 2, 0)) == pytest.approx(4.145348, abs=5e-7)


@pytest.mark.parametrize(
    ("parameters", "actual"),
    # D. Maillard (2012) as portfoliooptimizer.io's "Corrected Cornish-Fisher Expansion" works it out
    [((-1, 3), (-1.41, 5.36)), ((-1, 6), (-2.06, 21.6))],
)
def test_the_expansions_own_moments_are_the_published_ones(
    parameters: tuple[float, float], actual: tuple[float, float]
) -> None:
    z = np.linspace(-12, 12, 240_001)
    weight = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    skew, excess = parameters
    values = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
    assert [cornish_fisher_quantile(at, skew, excess) for at in (-2.5, 0.0, 1.0)] == pytest.approx(
        np.interp([-2.5, 0.0, 1.0], z, values)
    )
    centred = values - (weight * values).sum()
    variance = (weight * centred**2).sum()
    found = ((weight * centred**3).sum() / variance**1.5, (weight * centred**4).sum() / variance**2 - 3)
    assert found == pytest.approx(actual, abs=0.05)


def test_cornish_fisher_outside_its_domain_is_no_number() -> None:
    answer = cornish_fisher_var(Moments(3.2, 5.6, 2, 0), Decimal("0.9"))
    assert isinstance(answer, OutsideDomain)
    assert isinstance(cornish_fisher_var(Moments(0, 1, 2.5, 10), C95), OutsideDomain)
    assert isinstance(cornish_fisher_var(Moments(0, 1, -1, 3), C95), float)


@given(st.floats(-3, 3), st.floats(-3, 30))
def test_the_domain_is_where_the_expansion_rises(skew: float, excess: float) -> None:
    # The slope is a parabola in z: it never falls below zero when it opens upwards and has no two roots
    a, b, c = excess / 8 - skew**2 / 6, skew / 3, 1 - excess / 8 + 5 * skew**2 / 36
    discriminant = b**2 - 4 * a * c
    if min(abs(a), abs(discriminant)) > 1e-9:
        assert (cornish_fisher_domain(skew, excess) is None) == (a > 0 and discriminant < 0)


def test_without_skew_and_excess_cornish_fisher_is_gaussian() -> None:
    normal = Moments(0.01, 0.2, 0, 0)
    assert cornish_fisher_var(normal, C95) == pytest.approx(gaussian_var(normal, C95), rel=1e-12)
    assert gaussian_var(Moments(0, 1, 0, 0), C95) == pytest.approx(1.6448536269514722)


def test_moments_are_the_populations() -> None:
    of = moments(np.array([1.0, 2.0, 3.0, 6.0]))
    assert of.mean == 3
    assert of.deviation == pytest.approx(3.5**0.5)
    assert of.skew == pytest.approx(4.5 / 3.5**1.5)
    assert of.excess == pytest.approx((16 + 1 + 0 + 81) / 4 / 3.5**2 - 3)
    with pytest.raises(Invalid):
        moments(np.ones(10))
