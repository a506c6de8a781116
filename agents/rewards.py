"""Per-step rewards for trading. A ratio such as Sharpe's is not a sum over steps; these forms are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeanVariance:
    """Score a step's return r as 100 (r - aversion r^2 / 2): percent, less a price for variance.

    Its average is the mean-variance utility of the return; it needs no memory, so the problem stays Markov.
    Source: Ritter 2017, "Machine learning for trading", Risk.
    """

    aversion: float = 2.0

    def __call__(self, returns: Floats) -> Floats:
        """Return the rewards of a step's returns, (rows,)."""
        return 100.0 * (returns - self.aversion * returns**2 / 2)


class DifferentialSharpe:
    """Score a step by its first-order change of an exponentially averaged Sharpe ratio.

    D = (B dA - A dB / 2) / (B - A^2)^(3/2) with A, B the averages of r and r^2 before the step. It remembers A and B
    a row, which the observation does not hold. Source: Moody and Saffell 2001, IEEE Trans. Neural Networks 12(4).
    """

    def __init__(self, rows: int, rate: float = 0.01, volatility: float = 0.01) -> None:
        """Start every row at a zero mean and the given volatility a step."""
        self.rate = rate
        self.first = np.zeros(rows)
        self.second = np.full(rows, volatility**2)

    def __call__(self, returns: Floats) -> Floats:
        """Return the rewards of a step's returns, (rows,), and update the averages."""
        change, square_change = returns - self.first, returns**2 - self.second
        variance = np.maximum(self.second - self.first**2, 1e-12)
        scores: Floats = (self.second * change - self.first * square_change / 2) / variance**1.5
        self.first = self.first + self.rate * change
        self.second = self.second + self.rate * square_change
        return scores
