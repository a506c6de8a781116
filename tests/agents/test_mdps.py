"""The reference problems have the optimal gains that were found with linear programming."""

import numpy as np
import pytest

from agents.mdps import MdpEnv, TabularMdp, access_control, optimal_gain, policy_gain, regime_trading


@pytest.mark.parametrize(
    ("mdp", "gain"),
    [
        (access_control(), 2.74321817),
        (regime_trading(0), 5.9912854),
        (regime_trading(5), 5.459885),
        (regime_trading(20), 4.507338),
        (regime_trading(60), 1.991614),
        (regime_trading(200), 0.555556),
    ],
)
def test_the_oracle_finds_the_known_optimum(mdp: TabularMdp, gain: float) -> None:
    assert optimal_gain(mdp) == pytest.approx(gain, abs=1e-6)


@pytest.mark.parametrize("mdp", [access_control(), regime_trading(5)])
def test_every_row_of_transitions_is_a_distribution(mdp: TabularMdp) -> None:
    assert np.allclose(mdp.transitions.sum(axis=2), 1)
    assert (mdp.transitions >= 0).all()


def test_rejecting_every_customer_earns_nothing() -> None:
    assert policy_gain(access_control(), np.zeros(44, dtype=np.int64)) == 0


def test_accepting_every_customer_is_below_the_optimum() -> None:
    mdp = access_control()
    assert 0 < policy_gain(mdp, np.ones(44, dtype=np.int64)) < optimal_gain(mdp) - 0.1


def test_a_policy_with_two_closed_classes_is_judged_by_the_worse() -> None:
    stay = np.eye(2)[:, None, :]
    assert policy_gain(TabularMdp(stay, np.array([[3.0], [1.0]])), np.zeros(2, dtype=np.int64)) == 1


def test_simulated_transitions_have_the_stated_frequencies() -> None:
    mdp = regime_trading(5)
    env = MdpEnv(mdp, rows=20_000, seed=1)
    env.states[:] = 4
    rewards, successors = env.step(np.ones(20_000, dtype=np.int64))
    assert rewards == pytest.approx(mdp.rewards[4, 1])
    assert successors.mean(axis=0) == pytest.approx(mdp.transitions[4, 1], abs=0.01)
