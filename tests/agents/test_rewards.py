"""Rewards add up over steps and weigh risk."""

import numpy as np
import pytest

from agents.rewards import DifferentialSharpe, MeanVariance


def test_mean_variance_is_percent_less_a_price_for_variance() -> None:
    assert MeanVariance(4.0)(np.array([0.01, -0.01])) == pytest.approx([0.98, -1.02])


def test_mean_variance_without_aversion_is_the_return_in_percent() -> None:
    assert MeanVariance(0.0)(np.array([0.02])) == pytest.approx([2.0])


def test_of_two_equal_means_the_steadier_scores_higher() -> None:
    steady, wild = np.full(2, 0.01), np.array([0.11, -0.09])
    assert MeanVariance(2.0)(steady).mean() > MeanVariance(2.0)(wild).mean()


def test_differential_sharpe_is_the_derivative_of_the_averaged_sharpe_ratio() -> None:
    rate, shift, score = 0.01, 1e-6, DifferentialSharpe(1)
    for value in (0.01, -0.004, 0.006):
        score(np.array([value]))
    first, second = score.first.copy(), score.second.copy()
    moved = [
        (first + step * (0.008 - first))
        / np.sqrt(second + step * (0.008**2 - second) - (first + step * (0.008 - first)) ** 2)
        for step in (0.0, shift)
    ]
    assert score(np.array([0.008])) == pytest.approx((moved[1] - moved[0]) / shift, rel=1e-3)
    assert score.first == pytest.approx(first + rate * (0.008 - first))
